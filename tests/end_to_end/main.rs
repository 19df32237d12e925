//! End-to-end tests: the `cadmill` binary, real libraries, real files.
//!
//! Each file is a promise: the output is the library's own (`parity`), nothing
//! that an engine does harms anyone else (`misbehaviour`, `attacks`), bad input gets an
//! answer that helps (`refusals`), the output is zipped when asked (`compress`), a job ends
//! once and right whatever dies on the way (`pipeline`), ledgers hold what they promise
//! (`audit`), the route through a jar is as good as the one without (`jvm`), the documents tell the truth (`documents`).

mod attacks;
mod audit;
mod catalogue;
mod compress;
mod documents;
mod door;
mod external;
mod imports;
mod jvm;
mod layout;
mod memory;
mod misbehaviour;
mod naming;
mod parity;
mod pipeline;
mod reference;
mod refusals;
mod same_bytes;
mod serve;
mod submit;
mod support;
