//! The status page: what a browser gets, embedded in the binary.
//!
//! ```text
//!   index.html --> style.css
//!        '-------> main.js --> live.js (server-sent events) --> pool.js --+--> heatmap.js
//!                                                                         +--> pods.js
//!                                                                         '--> cards.js
//! ```
//!
//! Everything shown comes from pods, gateways and resources, and so from strangers. It enters the
//! document as text only (`dom.js`), which the browser enforces: under [`POLICY`] there is no script but
//! ours, and no sink that would take a string for markup.

/// What the browser may do with our answers.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// What it is.
    pub content_type: &'static str,
    /// What it holds.
    pub body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The files by path.
const ASSETS: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("index.html")),
    ("/page/style.css", STYLE, include_str!("style.css")),
    ("/page/main.js", SCRIPT, include_str!("main.js")),
    ("/page/live.js", SCRIPT, include_str!("live.js")),
    ("/page/pool.js", SCRIPT, include_str!("pool.js")),
    ("/page/heatmap.js", SCRIPT, include_str!("heatmap.js")),
    ("/page/pods.js", SCRIPT, include_str!("pods.js")),
    ("/page/cards.js", SCRIPT, include_str!("cards.js")),
    ("/page/dom.js", SCRIPT, include_str!("dom.js")),
    ("/page/icon.svg", IMAGE, include_str!("icon.svg")),
];

/// The file at a path, if there is one.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    let mut assets = ASSETS.iter();
    let (_, content_type, body) = assets.find(|(at, ..)| *at == path)?;
    Some(Asset { content_type, body })
}
