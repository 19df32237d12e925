//! `cadmill doctor`: what is wrong with a machine ([`confinement`]) or with a deployment on AWS
//! ([`aws`]), and what to do about it.

mod aws;
mod confinement;

use crate::args::DoctorArgs;
use std::process::ExitCode;

pub(crate) fn run(args: &DoctorArgs) -> ExitCode {
    if args.aws { aws::run(args) } else { confinement::run(args) }
}
