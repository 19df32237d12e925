//! Assemblies that are submitted to `cadmill serve`: one of several files and one with colours, each in a
//! zip, come back as `cadmill convert` makes them, and whole to programs of others.

use super::readers::both;
use super::{assembly, convert, model, solids_and_faces, target};
use crate::serve::Installation;
use crate::support::{Bench, Run, zipped};
use std::path::Path;
use zip::CompressionMethod::Deflated;

#[test]
fn a_zipped_assembly_is_converted_through_the_server() {
    let colours = std::fs::read(model("cax-if/as1-oc-214.stp")).unwrap();
    let colours = zipped(&[("as1-oc-214.stp", Deflated, &colours)]);
    let installation = Installation::whole();
    let plugins = target().join("plugins");
    let served = installation.serve_with(&[("CADMILL_PLUGINS", &plugins)], &[]);
    let bench = Bench::new();
    let mut results = Vec::new();
    for (name, archive, root, counted, colours) in [
        ("s1-c5-214", assembly("", None), "s1-c5-214.stp", (11, 182), None),
        ("as1-oc-214", colours, "as1-oc-214.stp", (18, 160), Some(5)),
    ] {
        let input = bench.path(&format!("{name}.zip"));
        std::fs::write(&input, archive).unwrap();
        let output = bench.path(&format!("{name}.step"));
        let input_name = input.to_str().unwrap();
        let arguments = ["submit", input_name, "--to", "step", "--root", root, "--server", &served.url];
        let mut command = bench.command(&arguments);
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "CADMILL_TOKEN"] {
            command.env_remove(proxy);
        }
        let json =
            Run::from(command.args(["--json", "-o"]).arg(&output).output().unwrap()).succeeded().json();
        assert_eq!((&json["outcome"], &json["state"]), (&"converted".into(), &"COMPLETED".into()), "{json}");
        assert_eq!(json["output"]["path"], output.to_str().unwrap());

        // The same bytes as without a server, and so the same facts. The worker names the output after the
        // input, and STEP has the name.
        std::fs::create_dir(bench.path(name)).unwrap();
        let direct = format!("{name}/{name}.step");
        let report = convert(&bench, &input, &direct, &["--root", root]).succeeded().json();
        assert_eq!(solids_and_faces(&report), counted, "{report}");
        assert_eq!(report["warnings"], json["warnings"]);
        assert_eq!(report["output"]["sha256"], json["output"]["sha256"], "{json}");
        results.push((output, counted, colours));
    }
    let files: Vec<&Path> = results.iter().map(|(path, ..)| path.as_path()).collect();
    let [gmsh, ocp] = both(&files);
    for (index, (_, counted, colours)) in results.iter().enumerate() {
        assert_eq!((gmsh[index].solids, gmsh[index].faces), *counted, "{gmsh:?}");
        assert_eq!((ocp[index].solids, ocp[index].faces), *counted, "{ocp:?}");
        assert!(colours.is_none_or(|colours| ocp[index].colours == colours), "{ocp:?}");
    }
}
