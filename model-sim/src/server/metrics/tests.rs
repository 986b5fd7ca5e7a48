//! The page against captures.
