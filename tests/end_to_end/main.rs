//! End-to-end tests: the `cadmill` binary, real libraries, real files.
//!
//! Each file checks one promise. The output is the library's (`parity`). An engine cannot harm
//! anything else (`misbehaviour`, `attacks`). Bad input gets a helpful error (`refusals`). An
//! archive in an archive is opened (`nested`). What people bring converts, or says the true reason
//! (`real_files`); its text is kept (`text`), and what the result lacks is told (`losses`, `left_out`,
//! `models`).
//! An option has an effect, or is refused (`options`). Programs of others read the drawings of cadmill,
//! and find what the source has (`drawing_readers`). A killed conversion leaves nothing for long
//! (`killed`). The output is zipped on request (`compress`). A job
//! ends exactly once and correctly, whatever dies on the way (`pipeline`). Ledgers are verifiable (`audit`, `deletions`). The route through a jar is equivalent
//! to the direct one (`jvm`), and a plugin is an engine as the others are (`plugin`). A deployment
//! that is not set up right is found so (`deployment`). People convert files in a browser (`page`). The
//! documents are true (`documents`).

mod attacks;
mod audit;
mod catalogue;
mod compress;
mod conformance;
mod deletions;
mod deployment;
mod documents;
mod door;
mod drawing;
mod drawing_readers;
mod encoded;
mod external;
mod imports;
mod inspect;
mod jvm;
mod killed;
mod layout;
mod left_out;
mod losses;
mod medium;
mod memory;
mod metrics;
mod misbehaviour;
mod models;
mod naming;
mod nested;
mod occt;
mod options;
mod own_library;
mod page;
mod parity;
mod pipeline;
mod plugin;
mod real_files;
mod recorded;
mod reference;
mod refusals;
mod residue;
mod result_ttl;
mod same_bytes;
mod serve;
mod submit;
mod support;
mod text;
mod unread;
