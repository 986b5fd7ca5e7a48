//! Line charts as SVG, small enough to be written by hand.

mod chart;
mod palette;
mod scale;
mod svg;

pub use chart::{Panel, Series, Sheet};
