package com.example.classifier

import android.content.Context
import android.graphics.Bitmap
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.core.Delegate
import com.google.mediapipe.tasks.vision.core.RunningMode
import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier

/** Classifies pictures with assets/model.tflite. Not for several threads at once. */
class Classifier(context: Context, delegate: Delegate = Delegate.CPU) : AutoCloseable {

    data class Result(val name: String, val probability: Float)

    private val classifier: ImageClassifier = ImageClassifier.createFromOptions(
        context,
        ImageClassifier.ImageClassifierOptions.builder()
            .setBaseOptions(
                BaseOptions.builder()
                    .setModelAssetPath("model.tflite")
                    .setDelegate(delegate)
                    .build()
            )
            .setRunningMode(RunningMode.IMAGE)
            .setMaxResults(5)
            .build()
    )

    /** Returns the five most probable classes, the first one first. */
    fun classify(bitmap: Bitmap): List<Result> {
        val image = BitmapImageBuilder(centredSquare(bitmap)).build()
        return classifier.classify(image)
            .classificationResult()
            .classifications()
            .first()
            .categories()
            .map { Result(it.categoryName(), it.score()) }
    }

    private fun centredSquare(bitmap: Bitmap): Bitmap {
        val side = minOf(bitmap.width, bitmap.height)
        val left = (bitmap.width - side) / 2
        val top = (bitmap.height - side) / 2
        val square = Bitmap.createBitmap(bitmap, left, top, side, side)
        // MediaPipe takes this form only; hardware bitmaps have another.
        return square.copy(Bitmap.Config.ARGB_8888, false)
    }

    override fun close() = classifier.close()
}
