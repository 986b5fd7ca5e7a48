//! A model server with a real engine model, for the demo, load tests and CI.
