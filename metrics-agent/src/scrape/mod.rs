//! Reads one engine's metrics page and says what it means.
//!
//! ```text
//!   engine --HTTP--> client --chunks--> exposition --samples--> dialect ----> Scraped
//!                      |                 (lines, labels)        (names)          |
//!                      +------------- ScrapeError ------------------+            v
//!                                                                   +------->  watch
//!                                                       (alive? hung? restarted? how fast?)
//! ```
//!
//! Everything that arrives is input: a page may be endless, slow, huge or a lie. Each room has its
//! own limit and none trusts the room before it:
//!
//! * [`client`]: connect time, whole time, bytes, content type; no redirects, proxies or decoding.
//! * [`exposition`]: line length, lines, labels; a bad line costs that line and never the page.
//! * [`dialect`]: which names mean which signal; NaN, infinities, negatives and numbers out of
//!   range are *unknown*, never zero, because zero looks idle and attracts traffic.
//! * [`watch`]: what a series of scrapes says about the engine's life; pure, fed with the time.

pub mod client;
pub mod dialect;
pub mod error;
pub mod exposition;
pub mod models;
pub mod scraped;
pub mod target;
pub mod watch;

pub use client::{ClientConfig, ScrapeClient};
pub use dialect::Dialect;
pub use error::{FailureKind, ScrapeError, ScrapeFailure};
pub use models::Models;
pub use scraped::{AdapterActivity, Problems, Scraped};
pub use target::ScrapeTarget;
pub use watch::{Cause, Watch, WatchConfig};
