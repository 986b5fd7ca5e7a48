//! Behaviour of the whole engine.
