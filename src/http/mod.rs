//! The listener, its connections, and the threads that answer.
