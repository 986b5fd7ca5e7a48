//! What stands between two texts of a prompt, remembered.
//!
//! ```text
//!   ...first text"},{"role":"user","content":"second text"},{"role":"user","content":"third...
//!                ^------- read once -------^           ^------ only compared ------^
//! ```
//!
//! A long chat repeats a few such frames hundreds of times, and reading one token by token costs more
//! than a short text. Once no more of the prompt is kept, all that a frame can do is to lead from one
//! counted text to the next. One that was seen to do just that from a [`Standing`] will do the same
//! from an equal one, so that the same bytes need not be read again.

use super::member::PromptKey;

/// How many frames are remembered: those of users, assistants and tools, and one more.
const FRAMES: usize = 4;
/// The longest frame that is remembered, in bytes.
const FRAME_BYTES: usize = 128;
/// How many frames of one body are considered for it.
const ATTEMPTS: u8 = 32;

/// All that decides what the bytes behind a text mean, and what they could change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) place: Place,
    pub(super) tally: Tally,
}

/// Where the same bytes mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The open containers.
    pub(super) shape: u64,
    /// The key that the text belongs to.
    pub(super) prompt_key: PromptKey,
    /// Where the value of the top-level member began, which tells it from all others.
    pub(super) member_start: u64,
}

/// What a frame must leave as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Bytes of prompt text.
    pub(super) prompt_bytes: u64,
    /// Prompts in a list of them.
    pub(super) prompts: Option<u64>,
    /// Images, sounds and files.
    pub(super) media: u32,
}

/// A frame that is being read.
#[derive(Debug, Clone)]
struct Open {
    tally: Tally,
    /// How much of the piece is left at its beginning.
    left: usize,
}

/// Whether `bytes` begins with `frame`, eight bytes at a time: what WebAssembly calls for slices goes byte
/// by byte, which takes as long as reading the frame.
#[inline]
fn begins_with(bytes: &[u8], frame: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..frame.len()) else {
        return false;
    };
    let ((words, tail), (frame_words, frame_tail)) =
        (bytes.as_chunks::<8>(), frame.as_chunks::<8>());
    let mut pairs = words.iter().zip(frame_words);
    tail == frame_tail
        && pairs.all(|(word, frame)| u64::from_le_bytes(*word) == u64::from_le_bytes(*frame))
}

/// The frames of one place in the document.
#[derive(Debug, Clone, Default)]
pub(super) struct Frames {
    /// Where all of them begin and end.
    place: Option<Place>,
    known: Vec<Box<[u8]>>,
    open: Option<Open>,
    attempts: u8,
}

impl Frames {
    /// A counted text ended, and `behind` is what is left of the piece. Returns the length of the frame
    /// that follows, if it is known: then the next text may be read at once.
    pub(super) fn begin(&mut self, behind: &[u8], from: Standing) -> Option<usize> {
        if self.place != Some(from.place) {
            self.place = Some(from.place);
            self.known.clear();
        }
        let known = self.known.iter().find(|frame| begins_with(behind, frame));
        if let Some(frame) = known {
            return Some(frame.len());
        }
        if self.attempts < ATTEMPTS && self.known.len() < FRAMES {
            self.attempts += 1;
            self.open = Some(Open {
                tally: from.tally,
                left: behind.len(),
            });
        }
        None
    }

    /// Whether a frame is being read that may be remembered.
    #[inline]
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A string began, and `left` bytes of the piece `whole` are behind its quote. Frames end where a
    /// counted text begins.
    pub(super) fn end(&mut self, whole: &[u8], left: usize, to: Option<Standing>) {
        let Some(to) = to else { return };
        let Some(open) = self.open.take() else { return };
        let end = whole.len().saturating_sub(left);
        let start = whole.len().saturating_sub(open.left);
        let frame = whole.get(start..end).unwrap_or_default();
        let is_back = (self.place, open.tally) == (Some(to.place), to.tally);
        if is_back && (1..=FRAME_BYTES).contains(&frame.len()) {
            self.known.push(frame.into());
        }
    }

    /// The bytes that are remembered.
    pub(super) fn bytes(&self) -> usize {
        self.known.iter().map(|frame| frame.len()).sum()
    }

    /// The piece ended: a frame that lies in two pieces is not remembered.
    pub(super) fn give_up(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::FRAMES;
    use crate::{BodyScanner, Learned, Progress, ScanConfig};

    /// All is read, and of the prompt hardly anything is kept, so that frames count from the beginning.
    fn to_the_end() -> ScanConfig {
        ScanConfig {
            cap_bytes: usize::MAX,
            prefix_max_bytes: 8,
            note_models: true,
            ..ScanConfig::default()
        }
    }

    /// Frames are remembered within a piece only: byte by byte there are none.
    fn scanned(body: &[u8], piece: usize) -> (BodyScanner, Learned) {
        let mut scanner = BodyScanner::new(&to_the_end());
        for piece in body.chunks(piece) {
            if scanner.push(piece) == Progress::Decided {
                break;
            }
        }
        let learned = scanner.learn(true, Some(body.len() as u64));
        (scanner, learned)
    }

    fn frames(body: &[u8]) -> usize {
        scanned(body, body.len()).0.frames().known.len()
    }

    #[test]
    fn the_frames_of_a_chat_are_remembered_and_those_that_count_something_are_not() {
        let chat = |message: &str| format!("{{\"messages\":[{}]}}", [message; 9].join(","));
        let turn = r#"{"role":"user","content":"some text"}"#;
        assert_eq!(frames(chat(turn).as_bytes()), 1);
        let named = r#"{"role":"user","name":"Ann","content":"some text"}"#;
        assert_eq!(
            frames(chat(named).as_bytes()),
            2,
            "up to the name, and from it"
        );
        let hinted =
            r#"{"role":"user","content":[{"text":"some","cache_control":{"type":"ephemeral"}}]}"#;
        assert_eq!(frames(chat(hinted).as_bytes()), 1);
        let pictured = r#"{"role":"user","content":[{"image_url":"http://a/b"},{"text":"some"}]}"#;
        assert_eq!(frames(chat(pictured).as_bytes()), 0, "a picture counts");
        let numbered = r#"{"role":"user","seed":7,"content":"some text"}"#;
        assert_eq!(frames(chat(numbered).as_bytes()), 0, "a number counts");
        let prompts = format!("{{\"prompt\":[{}]}}", ["\"text\""; 9].join(","));
        assert_eq!(frames(prompts.as_bytes()), 0, "prompts are counted");
        let others: Vec<String> = (0..20)
            .map(|n| turn.replace("role", &format!("role{n}")))
            .collect();
        let others = format!("{{\"messages\":[{}]}}", others.join(","));
        assert_eq!(frames(others.as_bytes()), FRAMES);
    }

    /// Pieces of bodies that make frames, look like known ones, or break them.
    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            r#"{"role":"user","content":"text"},"#,
            r#"{"role":"user","content":"text"},"#,
            r#"{"role":"assistant","content":"\u00e9 \" text"},"#,
            r#"{"role":"user","content":"text","x":[1,2]},"#,
            r#"{"role":"user","content":[{"type":"text","text":"text"},{"type":"text","text":"more"}]},"#,
            r#"{"content":[{"image_url":"data:abc"},{"text":"a"}]},"#,
            r#"{"content":[{"text":"a","cache_control":{"type":"b","c":"d"}},{"text":"a"}]},"#,
            r#"["a","b","#,
            r#""a","b"],"#,
            r#"{"a":{"content":"b"},"content":"text"},"#,
            r#"{"content":{"content":"text"},"role":"user"},"#,
            r#"{"role":"user","content":"text"}],"messages":[{"role":"user","content":"#,
            r#"{"role":"user","content":"text"}],"model":"a","messages":[{"content":""},"#,
            r#"{"role":"user","content":"text"}],"tools":[{"role":"user","content":""},"#,
            r#"{"role":"user","content":"text"}],"prompt":["a","a","a","#,
            r#""text"},{"role":"user","content":"text"},"#,
        ])
    }

    proptest! {
        #[test]
        fn a_body_read_by_frames_says_what_it_says_byte_by_byte(
            pieces in prop::collection::vec(piece(), 1..24),
            twice in any::<bool>(),
        ) {
            let mut middle = pieces.concat();
            if twice {
                middle = middle.repeat(2);
            }
            let end = r#"{"content":"end"}],"model":"m"}"#;
            let body = format!("{{\"model\":\"first\",\"messages\":[{middle}{end}");
            let (_, whole) = scanned(body.as_bytes(), usize::MAX);
            let (_, by_bytes) = scanned(body.as_bytes(), 1);
            prop_assert_eq!(whole, by_bytes, "{}", body);
        }
    }
}
