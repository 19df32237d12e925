//! What the engine process cannot do: one attack, one library, one typed outcome.
//!
//! The libraries are `tests/fixtures/doubles/attacks/*.c`, one attack each; each tells
//! by its own effect whether it worked. The same libraries run three times: confined,
//! where each must end as the table says; in a host without its confinement, where each
//! must work, lest the first proves nothing; and without Landlock, which shows what it
//! alone holds back.

mod posture;
mod rig;
mod table;
mod tiers;

use rig::{Mode, Rig};
use table::{ATTACKS, Attack};

/// Runs the attacks of a family and reports all that ended otherwise.
fn run(family: &str, mode: Mode) {
    let attacks: Vec<&Attack> = ATTACKS.iter().filter(|attack| attack.family == family).collect();
    assert!(!attacks.is_empty(), "no attack of {family}");
    let wrong: Vec<String> = attacks
        .iter()
        .filter_map(|attack| {
            let rig = Rig::new(attack, mode);
            let run = rig.run();
            let expected = mode.expected(attack);
            rig.judge(&run, &expected)
                .err()
                .map(|text| format!("{} {mode:?}: expected {expected:?}: {text}\n  {run:?}", attack.name))
        })
        .collect();
    println!("{family} {mode:?}: {} attacks, {} wrong", attacks.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! families {
    ($($family:ident),+) => { $(
        mod $family {
            use super::{Mode, run};

            #[test]
            fn confined_each_attack_fails() {
                run(stringify!($family), Mode::Confined);
            }

            #[test]
            fn unconfined_each_attack_works() {
                run(stringify!($family), Mode::Unconfined);
            }

            #[test]
            fn without_landlock_only_those_work_that_it_alone_stops() {
                run(stringify!($family), Mode::WithoutLandlock);
            }
        }
    )+ };
}

families!(files, network, processes, kernel, resources, output);

#[test]
fn what_landlock_alone_stops_is_told() {
    let security = std::fs::read_to_string(crate::support::repository().join("docs/SECURITY.md")).unwrap();
    let (_, rest) = security.split_once("<!-- landlock alone -->").expect("the part of docs/SECURITY.md");
    let part = rest.split("<!-- end -->").next().unwrap();
    let mut told: Vec<&str> = part.split('`').skip(1).step_by(2).collect();
    let mut alone: Vec<&str> =
        ATTACKS.iter().filter(|attack| attack.without_landlock.is_some()).map(|attack| attack.name).collect();
    told.sort_unstable();
    alone.sort_unstable();
    assert_eq!(told, alone);
}
