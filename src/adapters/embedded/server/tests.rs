//! The server as its clients see it: the AWS SDK, and plain HTTP for what was presigned.

mod client;
mod crash;
mod events;
mod multipart;
mod requests;
