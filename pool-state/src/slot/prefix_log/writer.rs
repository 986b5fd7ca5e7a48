//! The worker's own log, kept encoded.

use std::collections::VecDeque;

use picker::PrefixNote;

use super::{MAX_NOTE_BLOCKS, MAX_NOTES_BYTES, NOTE_BYTES, begin, write};
use crate::slot::codec::Writer;

/// The last notes of this worker, ready to be published: [`LogWriter::encode`] copies and seals.
#[derive(Debug)]
pub struct LogWriter {
    owner: u64,
    first_sequence: u64,
    /// The notes as they are in the slot, one behind the other, oldest first.
    bytes: Vec<u8>,
    /// The length of each.
    lengths: VecDeque<usize>,
}

impl LogWriter {
    /// An empty log of `owner`, the root context's own number.
    #[must_use]
    pub const fn new(owner: u64) -> Self {
        Self {
            owner,
            first_sequence: 0,
            bytes: Vec::new(),
            lengths: VecDeque::new(),
        }
    }

    /// Appends a note; the oldest fall out as far as they must. Of a prompt of more than
    /// [`MAX_NOTE_BLOCKS`] blocks the leading ones are noted, without its turn. A note that says
    /// nothing, without a block and without a turn, is left out.
    pub fn push(&mut self, note: &PrefixNote) {
        let shortened = shortened(note);
        let note = shortened.as_ref().unwrap_or(note);
        if note.prefix.is_empty() && note.turn.is_none() {
            return;
        }
        let mut piece = Writer::piece(NOTE_BYTES + note.prefix.len() * 8);
        write(&mut piece, note);
        let piece = piece.into_piece();
        let room = MAX_NOTES_BYTES.saturating_sub(piece.len());
        let mut dropped = 0;
        while self.bytes.len() - dropped > room
            && let Some(oldest) = self.lengths.pop_front()
        {
            dropped += oldest;
            self.first_sequence += 1;
        }
        self.bytes.drain(..dropped);
        self.bytes.extend_from_slice(&piece);
        self.lengths.push_back(piece.len());
    }

    /// The slot's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = self.lengths.len();
        let mut writer = begin(self.owner, self.first_sequence, count, self.bytes.len());
        writer.bytes(&self.bytes);
        writer.seal()
    }
}

/// The head of a note that is too long. Its turn goes: it counts only together with all blocks.
fn shortened(note: &PrefixNote) -> Option<PrefixNote> {
    let head = note.prefix.get(..MAX_NOTE_BLOCKS)?;
    (head.len() < note.prefix.len()).then(|| PrefixNote {
        endpoint: note.endpoint,
        prefix: head.to_vec(),
        turn: None,
        cached_blocks: note.cached_blocks.min(MAX_NOTE_BLOCKS as u32),
    })
}
