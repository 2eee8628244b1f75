import CQREncode

/// A QR code drawn with half blocks, two rows of modules a line, dark on light.
enum QRCode {
    /// The code's lines; `nil` when `text` is too long for a code.
    static func terminal(_ text: String) -> String? {
        guard let code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L) else { return nil }
        defer { QRcode_free(code) }
        let width = Int(code.pointee.width)
        let quiet = 2
        func isDark(_ x: Int, _ y: Int) -> Bool {
            guard (0..<width).contains(x), (0..<width).contains(y) else { return false }
            return code.pointee.data[y * width + x] & 1 == 1
        }
        return stride(from: -quiet, to: width + quiet, by: 2).map { y in
            (-quiet..<width + quiet).map { x in
                switch (isDark(x, y), isDark(x, y + 1)) {
                case (true, true): " "
                case (true, false): "▄"
                case (false, true): "▀"
                case (false, false): "█"
                }
            }.joined()
        }.joined(separator: "\n")
    }
}
