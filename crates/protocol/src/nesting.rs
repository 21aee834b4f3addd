//! The nesting of lists and maps in a reply, and the items that each of them still needs.

/// The most lists and maps that may be open at once.
const DEEPEST: usize = 64;

/// An open list or map.
#[derive(Clone, Copy, Debug)]
struct Level {
    map: bool,
    /// True if nothing has been written in it.
    fresh: bool,
    /// The number of missing items; in a map, keys and values each count.
    owed: usize,
}

/// The lists and maps that are open, and whether the reply wants more.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    levels: Vec<Level>,
    wants_item: bool,
}

/// The separator between the last item and the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// None: the next item is the first one, or starts a line.
    Start,
    /// A comma: the next item follows another.
    Next,
    /// A colon: the next item is the value of the key just written.
    Value,
}

impl Nesting {
    /// Starts a reply: one item is wanted.
    #[inline]
    pub(super) fn start(&mut self) {
        self.levels.clear();
        self.wants_item = true;
    }

    /// Ends the reply early or for good: nothing more is wanted.
    pub(super) fn stop(&mut self) {
        self.levels.clear();
        self.wants_item = false;
    }

    /// Returns whether another item is wanted.
    #[inline]
    pub(super) fn wants_item(&self) -> bool {
        self.wants_item
    }

    /// Returns the number of open lists and maps.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Returns the separator before the next item.
    pub(super) fn joint(&self) -> Joint {
        match self.levels.last() {
            Some(level) if level.map && level.owed % 2 == 1 => Joint::Value,
            Some(level) if !level.fresh && self.levels.len() > 1 => Joint::Next,
            _ => Joint::Start,
        }
    }

    /// Returns whether one more list or map may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.levels.len() < DEEPEST
    }

    /// Opens a list of `owed` items, or a map of `owed` keys and values. An empty one is written as
    /// an ordinary item and not opened.
    pub(super) fn open(&mut self, map: bool, owed: usize) {
        self.levels.push(Level { map, fresh: true, owed });
    }

    /// Ends a reply of one item that is no list or map.
    #[inline]
    pub(super) fn stop_wanting(&mut self) {
        self.wants_item = false;
    }

    /// Counts an item, and every list and map that it completes. Returns whether a line of a plain
    /// reply ends with it.
    pub(super) fn count(&mut self) -> bool {
        let mut line_ends = self.levels.is_empty();
        while let Some(level) = self.levels.last_mut() {
            level.owed -= 1;
            level.fresh = false;
            let (pair_ends, owed) = (!level.map || level.owed % 2 == 0, level.owed);
            if self.levels.len() == 1 {
                line_ends = pair_ends;
            }
            if owed > 0 {
                return line_ends;
            }
            self.levels.pop();
        }
        self.wants_item = false;
        line_ends
    }
}
