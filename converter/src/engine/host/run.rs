//! The main sequence of the host: request, confinement, work, answer.

use crate::events::Reporter;
use crate::work;
use cadmill_converter::engine::protocol::{Answer, Command, EngineRequest, Message, VERSION};
use cadmill_converter::engine::sandbox::descriptors::Channel;
use cadmill_converter::engine::sandbox::{self, Confined, StepError};
use cadmill_converter::engine::{confinement, frame};
use cadmill_converter::linux::proc;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

/// Handles one request in a process that `enter` confines.
pub(crate) fn run(enter: fn(&EngineRequest, &Channel) -> Result<Confined, StepError>) -> ExitCode {
    if std::io::stdin().is_terminal() || std::env::args_os().len() > 1 {
        eprintln!("cadmill-engine-host {}: for use by cadmill only", cadmill_core::BUILD);
        return ExitCode::from(2);
    }
    let Ok(mut channel) = Channel::take() else { return ExitCode::from(70) };
    let request = match frame::receive::<Command>(&mut channel.commands) {
        Ok(Some(Command::Run(request))) => request,
        // There is no supervisor to answer.
        Ok(None | Some(Command::Cancel | Command::Go(_))) | Err(_) => return ExitCode::from(71),
    };
    let confined = if request.version == VERSION {
        enter(&request, &channel).map_err(|e| e.to_string())
    } else {
        Err(format!("protocol version mismatch: engine host {VERSION}, supervisor {}", request.version))
    };
    let reporter = Arc::new(Reporter::new(channel));
    let (answer, peak_memory_bytes) = match confined {
        Ok(confined) => {
            let answer = serve(&request, &confined, &reporter);
            (answer, proc::memory_of(&confined.status).peak_resident)
        }
        Err(reason) => (Answer::Setup(reason), 0),
    };
    reporter.send(&Message::Done { answer, peak_memory_bytes });
    // Not a return: the destructors of native libraries are known to crash, and the answer has been
    // sent.
    sandbox::leave()
}

/// Reports the confinement, and does the work if the minimum is reached.
fn serve(request: &EngineRequest, confined: &Confined, reporter: &Arc<Reporter>) -> Answer {
    reporter.send(&Message::Confined(Box::new(confined.in_force.clone())));
    let (level, minimum) = (confined.in_force.level(), request.confinement.minimum);
    if level < minimum {
        // The supervisor checks the same message, and kills a host that does not stop here.
        return Answer::Setup(confinement::too_weak(level, minimum).message);
    }
    let loaded = || (confined.after_loading)(request, &confined.status);
    work::run(request, reporter, &loaded, &|| proc::memory_of(&confined.status))
}
