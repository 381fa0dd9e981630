//! The engine's state to bytes and back: an engine that is stopped, restored and stopped again against one that never
//! is. Same calls of the sink, same digest, whatever the rules, the stream, the caps and the moment.

mod ceiling;
mod cold;
mod damage;
mod hostile;
mod pack;
mod random;
mod shown;
mod twins;
