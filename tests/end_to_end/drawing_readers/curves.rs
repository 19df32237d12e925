//! Arcs: polylines of drawings have them by their bulges, which is the tangent of a quarter of the angle.

use super::gdal;
use crate::support::Bench;
use cadmill_dxf::lint::{self, Entity, Profile};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::path::PathBuf;

/// An arc: its centre, its radius, where it begins, and how far it goes, in radians anticlockwise.
type Arc = ([f64; 2], f64, f64, f64);

fn draw(bench: &Bench, geometries: &[String]) -> (Vec<Entity>, PathBuf) {
    let (input, output) = (bench.path("any.csv"), bench.path("out.dxf"));
    let rows: String = geometries.iter().map(|geometry| format!("\"{geometry}\",1\n")).collect();
    std::fs::write(&input, format!("WKT,a\n{rows}")).unwrap();
    let arguments =
        ["convert", "any.csv", "--to", "dxf", "--json", "-o", "out.dxf", "--opt", "dxf.version=R2004"];
    bench.run(&arguments).succeeded();
    let drawing = std::fs::read(&output).unwrap();
    let findings = lint::check(&drawing, Profile::Strict);
    assert!(findings.is_empty(), "{findings:?}");
    (lint::read(&drawing).unwrap(), output)
}

/// The groups of the vertices of a polyline: x, y, and the bulge to the next.
fn vertices(entity: &Entity) -> Vec<[f64; 3]> {
    let mut vertices: Vec<[f64; 3]> = Vec::new();
    for (code, value) in &entity.groups {
        let number = || value.trim().parse().unwrap();
        match (code, vertices.last_mut()) {
            (10, _) => vertices.push([number(), 0.0, 0.0]),
            (20, Some(vertex)) => vertex[1] = number(),
            (42, Some(vertex)) => vertex[2] = number(),
            _ => {}
        }
    }
    vertices
}

fn on((centre, radius, start, _): Arc, angle: f64) -> [f64; 2] {
    let at = start + angle;
    [centre[0] + radius * at.cos(), centre[1] + radius * at.sin()]
}

fn near(a: f64, b: f64, size: f64) -> bool {
    (a - b).abs() <= 1e-9 * size
}

#[test]
fn arcs_are_arcs() {
    let bench = Bench::new();
    let mut runner = TestRunner::deterministic();
    let coordinate = || prop_oneof![-100.0..100.0f64, 150_000.0..650_000.0f64];
    let sweep = (0.05..6.2f64, any::<bool>()).prop_map(|(angle, back)| if back { -angle } else { angle });
    let arc = ((coordinate(), coordinate()), 0.5..500.0f64, 0.0..std::f64::consts::TAU, sweep, 0.2..0.8f64);
    let arcs = proptest::collection::vec(arc, 60).new_tree(&mut runner).unwrap().current();
    let arcs: Vec<(Arc, f64)> = arcs
        .into_iter()
        .map(|((x, y), radius, start, sweep, middle)| (([x, y], radius, start, sweep), middle * sweep))
        .collect();
    let geometries: Vec<String> = arcs
        .iter()
        .map(|(arc, middle)| {
            let points = [0.0, *middle, arc.3].map(|angle| on(*arc, angle));
            let points = points.map(|[x, y]| format!("{x} {y}"));
            format!("CIRCULARSTRING ({})", points.join(","))
        })
        .collect();
    let (entities, drawing) = draw(&bench, &geometries);
    assert_eq!(entities.len(), arcs.len());
    let by_gdal = gdal::shapes(&drawing, false);
    for ((entity, (arc, _)), shape) in entities.iter().zip(&arcs).zip(&by_gdal) {
        let (centre, radius, _, sweep) = *arc;
        let [[x, y, bulge], [to_x, to_y, _]] = vertices(entity)[..] else { panic!("{entity:?}") };
        let size = radius.max(centre[0].abs()).max(centre[1].abs());
        let (from, to) = (on(*arc, 0.0), on(*arc, sweep));
        assert!(
            near(x, from[0], size)
                && near(y, from[1], size)
                && near(to_x, to[0], size)
                && near(to_y, to[1], size)
        );
        // Where lines of equal length to both ends meet, by the height of the arc over its chord.
        let lift = (1.0 - bulge * bulge) / (4.0 * bulge);
        let found = [f64::midpoint(x, to_x) - lift * (to_y - y), f64::midpoint(y, to_y) + lift * (to_x - x)];
        // Short arcs of large coordinates have few digits.
        let digits = size / sweep.abs().min(1.0).powi(2) / 100.0;
        assert!(
            near(found[0], centre[0], digits) && near(found[1], centre[1], digits),
            "{found:?} instead of {centre:?}"
        );
        assert!(near(bulge, (sweep / 4.0).tan(), bulge.abs().max(1.0) * size / radius), "{bulge} of {sweep}");
        for [x, y, _] in &shape.paths[0] {
            let distance = (x - centre[0]).hypot(y - centre[1]);
            assert!((distance - radius).abs() <= 1e-6 * radius, "GDAL, {distance} instead of {radius}");
        }
    }
}

#[test]
fn curves_of_every_kind_are_drawn() {
    let bench = Bench::new();
    let geometries = [
        "COMPOUNDCURVE ((-1 0,0 0),CIRCULARSTRING (0 0,1 1,2 0),(2 0,3 0))",
        "CURVEPOLYGON (CIRCULARSTRING (0 0,4 0,0 0),(1 0.5,2 0.5,2 1,1 0.5))",
        "MULTICURVE ((0 0,1 1),CIRCULARSTRING (0 0,1 1,2 0))",
        "MULTISURFACE (CURVEPOLYGON (CIRCULARSTRING (0 0,4 0,0 0)),((9 9,10 9,10 10,9 9)))",
        "GEOMETRYCOLLECTION (CIRCULARSTRING (0 0,1 1,2 0,3 -1,4 0))",
        "CIRCULARSTRING Z (0 0 7,1 1 7,2 0 7)",
        "CIRCULARSTRING Z (0 0 7,1 1 8,2 0 9)",
        // No arc: straight, and without length.
        "CIRCULARSTRING (0 0,1 0,2 0)",
        "CIRCULARSTRING (5 5,5 5,5 5)",
    ];
    let (entities, _) = draw(&bench, &geometries.map(str::to_owned));
    let bulges: Vec<Vec<f64>> = entities
        .iter()
        .map(|entity| vertices(entity).iter().map(|[_, _, bulge]| (bulge * 1e9).round() / 1e9).collect())
        .collect();
    let wanted: [&[f64]; 12] = [
        &[0.0, -1.0, 0.0, 0.0],
        &[1.0, 1.0],
        &[0.0; 3],
        &[0.0; 2],
        &[-1.0, 0.0],
        &[1.0, 1.0],
        &[0.0; 3],
        &[-1.0, 1.0, 0.0],
        &[-1.0, 0.0],
        // Not in a plane: many short lines, whose ends are its parts.
        &[0.0],
        &[0.0; 2],
        &[0.0; 2],
    ];
    assert_eq!(bulges, wanted);
    assert_eq!(entities[8].real(38), Some(7.0));
    assert_eq!(entities[9].kind, "POLYLINE");
    assert!(entities[9].parts.len() > 20);
}
