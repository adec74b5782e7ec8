import MediaPipeTasksVision
import UIKit

/// Classifies pictures with model.tflite of the app's bundle.
final class Classifier {
    struct Result: Identifiable {
        let name: String
        let probability: Float
        var id: String { name }
    }

    private let classifier: ImageClassifier

    init(delegate: Delegate = .CPU) throws {
        guard let path = Bundle.main.path(forResource: "model", ofType: "tflite") else {
            throw CocoaError(.fileNoSuchFile)
        }
        let options = ImageClassifierOptions()
        options.baseOptions.modelAssetPath = path
        options.baseOptions.delegate = delegate
        options.runningMode = .image
        options.maxResults = 5
        classifier = try ImageClassifier(options: options)
    }

    /// Returns the five most probable classes, the first one first.
    func classify(_ picture: UIImage) throws -> [Result] {
        let image = try MPImage(uiImage: centredSquare(picture))
        let result = try classifier.classify(image: image)
        let categories = result.classificationResult.classifications.first?.categories
        return (categories ?? []).map {
            Result(name: $0.categoryName ?? "\($0.index)", probability: $0.score)
        }
    }

    /// Drawing also turns the picture as its orientation says.
    private func centredSquare(_ picture: UIImage) -> UIImage {
        let side = min(picture.size.width, picture.size.height)
        let corner = CGPoint(
            x: (side - picture.size.width) / 2, y: (side - picture.size.height) / 2
        )
        let format = UIGraphicsImageRendererFormat()
        format.scale = 1
        let size = CGSize(width: side, height: side)
        return UIGraphicsImageRenderer(size: size, format: format).image { _ in
            picture.draw(at: corner)
        }
    }
}
