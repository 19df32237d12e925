//! The whole API through its router, without a socket.

#![allow(unreachable_pub, reason = "a test has no outside")]

mod audit;
mod deletion;
mod document;
mod door;
mod events;
mod identity;
mod lifecycle;
mod limits;
mod logs;
mod objects;
mod page;
mod polled;
mod quota;
mod refusals;
mod retention;
mod shelf;
mod support;
mod tickets;
mod uploads;
mod versions;
