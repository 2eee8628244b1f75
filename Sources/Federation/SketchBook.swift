import Primitives

/// The sketches of what a map holds, one for each key that links use, kept up to date with it.
///
/// A link of 10⁵ elements so costs one pass over them, when it is first compared, and some nanoseconds for each change
/// after that, whether a node has 8 links or 200.
struct SketchBook: Sendable {
    /// Of what a sketch tells.
    enum Scope: Sendable {
        /// Descriptors and snapshot roots: among nodes.
        case nodes
        /// Descriptors alone: an agent holds only the roots that it asked for.
        case agents
    }

    private struct Entry {
        var sketch: Sketch
        let scope: Scope
    }

    private var entries: [SketchKey: Entry] = [:]

    func symbols(_ key: SketchKey) -> [CodedSymbol]? { entries[key]?.sketch.symbols }

    mutating func add(_ sketch: Sketch, _ scope: Scope) { entries[sketch.key] = Entry(sketch: sketch, scope: scope) }

    mutating func remove(_ key: SketchKey) { entries[key] = nil }

    /// A descriptor's digest came in place of an older one, or either alone.
    mutating func replace(_ old: MapDigest?, by new: MapDigest?) {
        guard old != new else { return }
        for key in entries.keys {
            if let old { entries[key]?.sketch.toggle(old) }
            if let new { entries[key]?.sketch.toggle(new) }
        }
    }

    /// A root's digest came or went.
    mutating func toggleRoot(_ digest: MapDigest) {
        for (key, entry) in entries where entry.scope == .nodes { entries[key]?.sketch.toggle(digest) }
    }
}
