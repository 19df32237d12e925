//! `cadmill-engine-host`: converts one file and ends.
//!
//! Started by the supervisor with two pipes, it confines itself, loads one native
//! library, converts, and answers. It is the only program of cadmill that loads
//! native libraries, so that a crash, a leak or an attack ends with it.
//!
//! Run by hand it says what it is and does nothing.

#![forbid(unsafe_code)]

mod events;
mod work;

use cadmill_converter::probe;
use cadmill_converter::protocol::{self, Answer, Command, Message, VERSION};
use cadmill_converter::sandbox::{self, descriptors::Channel};
use events::Reporter;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    if std::io::stdin().is_terminal() || std::env::args_os().len() > 1 {
        eprintln!("cadmill-engine-host {}: started by cadmill, not by hand", cadmill_core::BUILD);
        return ExitCode::from(2);
    }
    let Ok(mut channel) = Channel::take() else { return ExitCode::from(70) };
    let request = match protocol::receive::<Command>(&mut channel.commands) {
        Ok(Some(Command::Run(request))) => request,
        // Nobody is there to answer to.
        Ok(None | Some(Command::Cancel)) | Err(_) => return ExitCode::from(71),
    };
    let confined = if request.version == VERSION {
        sandbox::enter(&request, &channel).map_err(|e| e.to_string())
    } else {
        Err(format!("it speaks protocol version {VERSION}, the supervisor {}", request.version))
    };
    let reporter = Arc::new(Reporter::new(channel));
    let answer = match confined {
        Ok(()) => work::run(&request, &reporter),
        Err(reason) => Answer::Setup(reason),
    };
    let peak_memory_bytes = probe::memory(rustix::process::getpid()).peak_resident;
    reporter.send(&Message::Done { answer, peak_memory_bytes });
    // Not a return: the destructors of native libraries are a known place to
    // crash, and the answer is given.
    sandbox::leave()
}
