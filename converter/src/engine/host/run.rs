//! The main sequence of the host: request, confinement, work, answer.

use crate::events::Reporter;
use crate::work;
use cadmill_converter::engine::protocol::{Answer, Command, EngineRequest, First, Message, VERSION};
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
    let first = frame::receive(&mut channel.commands).ok().flatten().and_then(First::read);
    let request = match first {
        Some(First::Command(Command::Run(request))) => request,
        Some(First::OfVersion(version)) => {
            let reason = format!("protocol version mismatch: engine host {VERSION}, supervisor {version}");
            Reporter::new(channel)
                .send(&Message::Done { answer: Answer::Setup(reason), peak_memory_bytes: 0 });
            return ExitCode::SUCCESS;
        }
        // There is no supervisor to answer.
        None | Some(First::Command(Command::Cancel | Command::Go(_))) => return ExitCode::from(71),
    };
    let confined = enter(&request, &channel).map_err(|e| e.to_string());
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
