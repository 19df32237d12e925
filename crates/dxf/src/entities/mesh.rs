//! Surfaces of many faces: polyface meshes (POLYLINE), which all readers know, and MESH, which GDAL
//! skips.

use super::{Entities, STRIDE, check};
use crate::error::{Error, Refusal};
use crate::properties::Properties;
use crate::vertex::Vertex;
use std::collections::HashMap;
use std::io::Write;

/// Vertices or faces of one polyface mesh: their numbers have 16 bits.
const MOST: usize = 32_767;

/// The corners of a face of a polyface mesh, one-based; the fourth of a triangle is zero.
type Corners = [u16; 4];

impl<W: Write> Entities<'_, W> {
    /// Writes a polyface mesh. Faces have three or four corners, which are places in `vertices`. A
    /// mesh of more than 32,767 vertices or faces becomes several.
    ///
    /// Faces with fewer than three different corners are left out and counted.
    ///
    /// # Errors
    ///
    /// If a face names no vertex, has more than four corners, or without any face; see [`Entities`].
    pub fn polyface<V: Vertex, F: AsRef<[u32]>>(
        &mut self,
        properties: &Properties<'_>,
        vertices: &[V],
        faces: &[F],
    ) -> Result<(), Error> {
        check(vertices)?;
        check_faces(vertices.len(), faces, 4)?;
        let usable = |face: &&F| corners(face.as_ref()).is_some();
        let count = faces.iter().filter(usable).count();
        if count == 0 {
            return Err(Refusal::TooFewVertices.into());
        }
        let dropped = (faces.len() - count) as u64;
        if vertices.len() <= MOST && count <= MOST {
            let faces: Vec<Corners> = faces
                .iter()
                .filter_map(|face| corners(face.as_ref()))
                .map(|face| face.map(|corner| corner.map_or(0, |corner| corner as u16 + 1)))
                .collect();
            self.one_polyface(properties, vertices, &faces)?;
        } else {
            self.polyfaces(properties, vertices, faces)?;
            self.report.split_meshes += 1;
        }
        self.report.dropped_faces += dropped;
        Ok(())
    }

    fn polyfaces<V: Vertex, F: AsRef<[u32]>>(
        &mut self,
        properties: &Properties<'_>,
        vertices: &[V],
        faces: &[F],
    ) -> Result<(), Error> {
        let mut places: HashMap<u32, u16> = HashMap::new();
        let (mut some_vertices, mut some_faces) = (Vec::new(), Vec::<Corners>::new());
        for face in faces.iter().filter_map(|face| corners(face.as_ref())) {
            if places.len() + face.len() > MOST || some_faces.len() == MOST {
                self.one_polyface(properties, &some_vertices, &some_faces)?;
                places.clear();
                some_vertices.clear();
                some_faces.clear();
            }
            some_faces.push(face.map(|corner| {
                corner.map_or(0, |corner| {
                    *places.entry(corner).or_insert_with(|| {
                        some_vertices.push(vertices[corner as usize]);
                        some_vertices.len() as u16
                    })
                })
            }));
        }
        self.one_polyface(properties, &some_vertices, &some_faces)
    }

    fn one_polyface<V: Vertex>(
        &mut self,
        properties: &Properties<'_>,
        vertices: &[V],
        faces: &[Corners],
    ) -> Result<(), Error> {
        let handles = (vertices.len() + faces.len()) as u64 + 2;
        let handle = self.begin("POLYLINE", properties, handles)?;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbPolyFaceMesh");
        pairs.int(66, 1);
        pairs.point3(10, [0.0; 3]);
        pairs.int(70, 64);
        pairs.int(71, vertices.len() as i64);
        pairs.int(72, faces.len() as i64);
        self.put_data();
        let mut child = handle;
        for part in vertices.chunks(STRIDE) {
            for vertex in part {
                child += 1;
                self.child("VERTEX", child, handle, properties);
                let pairs = &mut self.sink.pairs;
                pairs.str(100, "AcDbVertex");
                pairs.str(100, "AcDbPolyFaceMeshVertex");
                pairs.point3(10, vertex.in_space());
                pairs.int(70, 192);
                self.grow(vertex.in_space());
            }
            self.sink.spill()?;
        }
        for part in faces.chunks(STRIDE) {
            for face in part {
                child += 1;
                self.child("VERTEX", child, handle, properties);
                let pairs = &mut self.sink.pairs;
                pairs.str(100, "AcDbFaceRecord");
                pairs.point3(10, [0.0; 3]);
                pairs.int(70, 128);
                for (code, corner) in (71..).zip(face).filter(|(_, corner)| **corner != 0) {
                    pairs.int(code, (*corner).into());
                }
            }
            self.sink.spill()?;
        }
        self.end_of_parts(child + 1, handle, properties)
    }

    /// Writes a mesh (MESH), whose faces have three or more corners, which are places in `vertices`.
    /// GDAL and programs before AutoCAD 2010 do not show it.
    ///
    /// # Errors
    ///
    /// Before R2010, which has no meshes; if a face names no vertex, or without any face. See
    /// [`Entities`].
    pub fn mesh<V: Vertex, F: AsRef<[u32]>>(
        &mut self,
        properties: &Properties<'_>,
        vertices: &[V],
        faces: &[F],
    ) -> Result<(), Error> {
        if !self.drawing.settings.version.has_mesh() {
            return Err(Refusal::Version.into());
        }
        check(vertices)?;
        check_faces(vertices.len(), faces, usize::MAX)?;
        if faces.is_empty() || faces.iter().any(|face| face.as_ref().len() < 3) {
            return Err(Refusal::TooFewVertices.into());
        }
        self.begin("MESH", properties, 1)?;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbSubDMesh");
        // The version, without creases, not smoothed.
        pairs.int(71, 2);
        pairs.int(72, 0);
        pairs.int(91, 0);
        pairs.int(92, vertices.len() as i64);
        for part in vertices.chunks(STRIDE) {
            for vertex in part {
                self.sink.pairs.point3(10, vertex.in_space());
                self.grow(vertex.in_space());
            }
            self.sink.spill()?;
        }
        let length: usize = faces.iter().map(|face| face.as_ref().len() + 1).sum();
        self.sink.pairs.int(93, length as i64);
        for face in faces {
            let corners = face.as_ref();
            self.sink.pairs.int(90, corners.len() as i64);
            corners.iter().for_each(|corner| self.sink.pairs.int(90, (*corner).into()));
            self.sink.spill()?;
        }
        // No edges, no creases, no overridden properties.
        let pairs = &mut self.sink.pairs;
        pairs.int(94, 0);
        pairs.int(95, 0);
        pairs.int(90, 0);
        self.end()
    }
}

fn check_faces(vertices: usize, faces: &[impl AsRef<[u32]>], most: usize) -> Result<(), Refusal> {
    let fits = |face: &[u32]| face.len() <= most && face.iter().all(|corner| (*corner as usize) < vertices);
    if faces.iter().all(|face| fits(face.as_ref())) { Ok(()) } else { Err(Refusal::Face) }
}

/// The different corners of a face, with no two alike beside each other; `None` if there are too few.
fn corners(face: &[u32]) -> Option<[Option<u32>; 4]> {
    let mut corners = [None; 4];
    let mut count = 0;
    for (number, corner) in face.iter().enumerate() {
        let before = if number == 0 { face.last() } else { face.get(number - 1) };
        if before != Some(corner) && count < 4 {
            corners[count] = Some(*corner);
            count += 1;
        }
    }
    (count >= 3).then_some(corners)
}
