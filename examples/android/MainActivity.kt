package com.example.classifier

import android.graphics.ImageDecoder
import android.net.Uri
import android.os.Bundle
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.annotation.RequiresApi
import java.util.concurrent.Executors

/** Picks a photo and shows its five most probable classes. */
@RequiresApi(28) // ImageDecoder, which also turns pictures as their EXIF data says
class MainActivity : ComponentActivity() {

    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var classifier: Classifier
    private lateinit var text: TextView

    private val pick = registerForActivityResult(
        ActivityResultContracts.PickVisualMedia()
    ) { uri -> if (uri != null) show(uri) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        worker.execute { classifier = Classifier(this) }
        text = TextView(this)
        val button = Button(this).apply {
            setText("Choose a photo")
            setOnClickListener {
                pick.launch(
                    PickVisualMediaRequest(
                        ActivityResultContracts.PickVisualMedia.ImageOnly
                    )
                )
            }
        }
        setContentView(
            LinearLayout(this).apply {
                orientation = LinearLayout.VERTICAL
                fitsSystemWindows = true
                addView(button)
                addView(text)
            }
        )
    }

    private fun show(uri: Uri) = worker.execute {
        val source = ImageDecoder.createSource(contentResolver, uri)
        val bitmap = ImageDecoder.decodeBitmap(source) { decoder, _, _ ->
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
        }
        val lines = classifier.classify(bitmap).joinToString("\n") {
            "%5.1f %%  %s".format(100 * it.probability, it.name)
        }
        runOnUiThread { text.text = lines }
    }

    override fun onDestroy() {
        worker.execute { classifier.close() }
        worker.shutdown()
        super.onDestroy()
    }
}
