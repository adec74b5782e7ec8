import PhotosUI
import SwiftUI

/// Picks a photo and shows its five most probable classes.
struct ContentView: View {
    @State private var item: PhotosPickerItem?
    @State private var results: [Classifier.Result] = []
    @State private var problem: String?
    private let classifier = try? Classifier()

    var body: some View {
        VStack(alignment: .leading, spacing: 12) {
            PhotosPicker("Choose a photo", selection: $item, matching: .images)
            if let problem { Text(problem) }
            ForEach(results) { result in
                Text("\(Int((100 * result.probability).rounded())) %  \(result.name)")
            }
        }
        .padding()
        .onChange(of: item) { chosen in
            Task { await classify(chosen) }
        }
    }

    private func classify(_ item: PhotosPickerItem?) async {
        do {
            guard
                let data = try await item?.loadTransferable(type: Data.self),
                let picture = UIImage(data: data),
                let classifier
            else {
                problem = "The picture or the model cannot be read."
                return
            }
            results = try classifier.classify(picture)
            problem = nil
        } catch {
            problem = error.localizedDescription
        }
    }
}
