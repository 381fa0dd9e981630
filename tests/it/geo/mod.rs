//! Geo: the small world's databases, the lookup over them, damage of every kind, the commands.

mod commands;
mod damage;
mod lookup;
mod world;
mod writer;
