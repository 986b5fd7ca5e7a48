//! How much of a page is read at most.

/// Limits on one metrics page. A page of vLLM 0.32 has 50 to 65 KB, 800 lines of at most 2 KB and
/// 37 labels; the defaults leave a factor of ten and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Bytes of the whole body; a larger one fails the scrape.
    pub body_bytes: usize,
    /// Bytes of a line without its end; a longer one costs that line.
    pub line_bytes: usize,
    /// Lines read, comments and empty ones included; what follows is left unread.
    pub lines: u32,
    /// Labels of one sample; more cost that line.
    pub labels: usize,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self {
            body_bytes: 4 * 1024 * 1024,
            line_bytes: 16 * 1024,
            lines: 20_000,
            labels: 128,
        }
    }
}
