//! Assimp: import and export of meshes and scenes through its C API.
//!
//! All files go through [`io`], our implementation of Assimp's custom I/O. It counts progress and
//! implements cancellation (the C API has no progress handler), and it opens files only inside the
//! two directories of the job, so that a material file named `../../etc/passwd` is not read.

mod io;
#[cfg(test)]
mod layout;
mod log;
mod materials;
mod options;
mod origin;
mod placed;
mod scene;
mod textures;

use self::log::LogStream;
use crate::bindings::assimp as ffi;
use crate::companions::Companions;
use crate::engine::{
    Converted, Description, Engine, EngineError, Events, Inspection, Output, Request, Stage,
};
use crate::engines::{c_path, string};
use crate::image;
use crate::library::{self, LoadError, Wanted};
use crate::model;
use crate::references::shown;
use cadmill_core::domain::contents::{self, Contents, Reference};
use cadmill_core::domain::counts::{CountedUnit, Counts};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUPPORTED: &str = "5.0 to 5.x";

pub(crate) const WANTED: Wanted = Wanted {
    library: "Assimp",
    names: &["libassimp.so.5", "libassimp.so"],
    functions: ffi::FUNCTIONS,
    supported: SUPPORTED,
    is_old: |name| image::number(name, "libassimp.so.").map(|number| number != 5),
};

/// The step that separates points, lines and faces, and leaves out the kinds of [`REMOVED_KINDS`]
/// (`AI_CONFIG_PP_SBP_REMOVE`, of `aiPrimitiveType`).
const SORT_BY_KIND: u32 = ffi::aiPostProcessSteps_aiProcess_SortByPType;
const REMOVED_KINDS: &CStr = c"PP_SBP_REMOVE";
const POINTS_AND_LINES: i32 = 3;

/// See [`crate::check_options`].
pub(crate) fn check_options(options: &[(String, String)]) -> Result<(), String> {
    options::parse(options).map(drop)
}

/// A loaded Assimp.
pub(crate) struct Assimp {
    api: ffi::AssimpApi,
    path: PathBuf,
    version: String,
}

impl Assimp {
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let (library, path) = library::open(&WANTED, path)?;
        // SAFETY: every function of the struct was just found in this library. Their types match
        // the header, which the version check below ensures; the version functions have had theirs
        // since Assimp 2.
        let api = unsafe { ffi::AssimpApi::from_library(library) }.map_err(|error| LoadError::Missing {
            library: WANTED.library,
            tried: vec![path.display().to_string()],
            reason: error.to_string(),
        })?;
        // SAFETY: three functions without arguments.
        let (major, minor, patch) =
            unsafe { (api.aiGetVersionMajor(), api.aiGetVersionMinor(), api.aiGetVersionPatch()) };
        let version = format!("{major}.{minor}.{patch}");
        if major != 5 {
            return Err(LoadError::Version {
                library: WANTED.library,
                path,
                found: version,
                supported: SUPPORTED,
            });
        }
        Ok(Self { api, path, version })
    }

    fn last_error(&self) -> String {
        // SAFETY: no arguments; returns null or a C string owned by the library, which is copied
        // before the next call.
        unsafe { string(self.api.aiGetErrorString()) }.unwrap_or_default()
    }
}

impl Engine for Assimp {
    fn describe(&self) -> Description {
        Description {
            library: WANTED.library.to_owned(),
            version: self.version.clone(),
            path: self.path.clone(),
            inputs: self.inputs(),
            outputs: self.outputs(),
            options: Vec::new(),
        }
    }

    fn convert(&self, request: &Request<'_>, events: &Arc<dyn Events>) -> Result<Converted, EngineError> {
        if !self.outputs().iter().any(|o| o.id == request.format_id) {
            let text = format!("Assimp {} cannot write format '{}'", self.version, request.format_id);
            return Err(EngineError::Option(text));
        }
        let mut options = options::parse(request.options).map_err(EngineError::Option)?;
        if textures::are_embedded(request.format_id) {
            options.postprocess |= ffi::aiPostProcessSteps_aiProcess_EmbedTextures;
        }
        let faces_only = scene::has_faces_only(request.format_id);
        let sorts = options.postprocess & SORT_BY_KIND;
        if faces_only {
            // Done after what is left out was counted.
            options.postprocess &= !SORT_BY_KIND;
            options.default_property(REMOVED_KINDS, options::Value::Integer(POINTS_AND_LINES));
        }
        if options.origin.is_some() && !origin::applies_to(request.input) {
            let text =
                "option 'origin' has no effect on this input: it moves the coordinates of obj files only";
            return Err(EngineError::Option(text.to_owned()));
        }
        model::whole(request.input)?;
        let left_out = model::left_out(request.input, &self.version, request.format_id)?;
        let log = LogStream::attach(&self.api, Arc::clone(events));
        left_out.iter().for_each(|line| log.warn(line));
        let companions = Arc::new(Companions::of(request.input, request.input_dir, Arc::clone(events)));
        let size = size_of(request.input);
        let files = io::FileSystem::reading(request.input_dir, size, &companions, Arc::clone(events));
        if let Some(origin) = options.origin {
            let [x, y, z] = files.move_root(request.input, size, origin)?.map(origin::Decimal::negative);
            log.warn(&format!("coordinates were moved by {x} {y} {z}"));
        }
        let mut scene = self.import(request.input, request.input_dir, &options, &files, events)?;
        // A root file that was moved is held in memory.
        drop(files);
        let counts = scene.contents();
        if let Some(warning) = scene::coarseness(&counts, advice(request.input, options.origin)) {
            log.warn(&warning);
        }
        if let Some(warning) = scene.not_carried(request.format_id) {
            log.warn(&warning);
        }
        let lacks_faces = counts.vertices > 0 && counts.triangles + counts.polygons == 0;
        let lost = scene.lost_points(&counts, request.format_id);
        if lost > 0 && !faces_only {
            log.warn(&lost_points(&counts, lost, request.format_id)?);
        }
        scene.prepare(request.format_id, &log);
        if faces_only && (counts.points + counts.lines > 0 || lacks_faces || sorts != 0) {
            scene = self.faces_of(scene, &counts, request.format_id, &log)?;
        }
        self.export(&scene, request, events)?;
        let warn = |line: &str| log.warn(line);
        textures::deliver(&scene.textures(), request.format_id, request.output_dir, &companions, &warn)?;
        if events.cancelled() {
            return Err(EngineError::Cancelled);
        }
        events.progress(Stage::Write, 1.0);
        let read = counts.points + counts.lines + counts.triangles + counts.polygons;
        let skipped = if faces_only { counts.points + counts.lines } else { lost };
        let counts = Counts { unit: CountedUnit::Parts, read, written: read - skipped, skipped };
        Ok(Converted { warnings: log.lines() + companions.lines(), counts: Some(counts), facts: Vec::new() })
    }

    fn inspect(&self, request: &Inspection<'_>, events: &Arc<dyn Events>) -> Result<Contents, EngineError> {
        let mut options = options::parse(request.options).map_err(EngineError::Option)?;
        options.postprocess = 0;
        let log = LogStream::attach(&self.api, Arc::clone(events));
        let companions = Arc::new(Companions::of(request.input, request.input_dir, Arc::clone(events)));
        let size = size_of(request.input);
        let files = io::FileSystem::reading(request.input_dir, size, &companions, Arc::clone(events));
        let scene = self.import(request.input, request.input_dir, &options, &files, events)?;
        let mut references = files.named(request.input);
        for name in scene.textures().named {
            let file = companions.found(&name).map(|file| file.to_string_lossy().into_owned());
            let name = shown(&name);
            if !references.iter().any(|known: &Reference| known.name == name) {
                references.push(Reference { name, file });
            }
        }
        let mut counts = scene.contents();
        if let Some(warning) = scene::coarseness(&counts, advice(request.input, None)) {
            log.warn(&warning);
        }
        scene.place(&mut counts);
        model::beside(request.input).iter().for_each(|line| log.warn(line));
        Ok(Contents {
            driver: scene.reader(),
            scene: Some(counts),
            references_total: references.len() as u64,
            references,
            ..Contents::default()
        })
    }
}

impl Assimp {
    fn inputs(&self) -> Vec<String> {
        let mut list = ffi::aiString { length: 0, data: [0; 1024] };
        // SAFETY: `list` is valid for writes; the callee fills it with a NUL-terminated text such
        // as `*.3ds;*.obj`.
        unsafe { self.api.aiGetExtensionList(&mut list) };
        // SAFETY: the array was filled with a C string, or is still all zeros.
        let text = unsafe { CStr::from_ptr(list.data.as_ptr()) };
        text.to_string_lossy()
            .split(';')
            .filter_map(|pattern| pattern.strip_prefix("*."))
            .map(str::to_ascii_lowercase)
            .collect()
    }

    fn outputs(&self) -> Vec<Output> {
        // SAFETY: no arguments.
        let count = unsafe { self.api.aiGetExportFormatCount() };
        let mut outputs = Vec::new();
        for index in 0..count.min(MAX_OUTPUTS) {
            // SAFETY: `index` is below the count.
            let description = unsafe { self.api.aiGetExportFormatDescription(index) };
            if description.is_null() {
                continue;
            }
            // SAFETY: not null; its two texts are C strings that live as long as the description,
            // which is released below.
            let output = unsafe {
                Output {
                    id: CStr::from_ptr((*description).id).to_string_lossy().into_owned(),
                    extension: CStr::from_ptr((*description).fileExtension)
                        .to_string_lossy()
                        .to_ascii_lowercase(),
                }
            };
            outputs.push(output);
            // SAFETY: returned by `aiGetExportFormatDescription`, released once.
            unsafe { self.api.aiReleaseExportFormatDescription(description) };
        }
        outputs
    }

    fn import(
        &self,
        input: &Path,
        input_dir: &Path,
        options: &options::Options,
        files: &io::FileSystem,
        events: &Arc<dyn Events>,
    ) -> Result<Scene<'_>, EngineError> {
        // Relative to the directory of our I/O: some readers store the path in the scene, and the
        // output must not reveal a directory of this machine.
        let path = c_path(input.strip_prefix(input_dir).unwrap_or(input))?;
        let properties = Properties::new(&self.api, &options.properties);
        let mut callbacks = files.callbacks();
        // SAFETY: `path` is a C string; `callbacks` and the file system that it points to live
        // until the call returns, after which the importer does not use them; the property store is
        // live.
        let scene = unsafe {
            self.api.aiImportFileExWithProperties(
                path.as_ptr(),
                options.postprocess,
                &mut callbacks,
                properties.store,
            )
        };
        if events.cancelled() {
            // Reads have returned end of file since the cancellation, so the scene is incomplete.
            if !scene.is_null() {
                drop(Scene { api: &self.api, scene });
            }
            return Err(EngineError::Cancelled);
        }
        if scene.is_null() {
            let reason = self.last_error();
            let reason = if reason.is_empty() { "Assimp gave no reason".to_owned() } else { reason };
            return Err(failure(&reason));
        }
        Ok(Scene { api: &self.api, scene })
    }

    /// The scene without what the output format does not have. What is left out is counted.
    fn faces_of<'a>(
        &'a self,
        mut scene: Scene<'a>,
        counts: &contents::Scene,
        format: &str,
        log: &LogStream<'_>,
    ) -> Result<Scene<'a>, EngineError> {
        let left_out = format!("{} lines and {} points", counts.lines, counts.points);
        if counts.triangles + counts.polygons == 0 {
            let text = format!("it has {left_out} and no faces, and format '{format}' has faces only");
            return Err(EngineError::Unfit(text));
        }
        // SAFETY: a live scene, which the callee changes in place, or frees when it returns null.
        let sorted = unsafe { self.api.aiApplyPostProcessing(scene.scene, SORT_BY_KIND) };
        scene.scene = sorted;
        if sorted.is_null() {
            return Err(failure(&self.last_error()));
        }
        if counts.lines + counts.points > 0 {
            log.warn(&format!("{left_out} were left out: format '{format}' has faces only"));
        }
        Ok(scene)
    }

    fn export(
        &self,
        scene: &Scene<'_>,
        request: &Request<'_>,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        // These writers store the path in the file, or treat its directories as part of the name.
        // Our I/O opens files beneath the output directory anyway.
        let bare = ["pbrt", "assbin", "assxml"].contains(&request.format_id);
        let name = request.output.file_name().filter(|_| bare).map_or(request.output, Path::new);
        let path = c_path(name)?;
        let format =
            CString::new(request.format_id).map_err(|_| EngineError::Option("no such format".to_owned()))?;
        let files = io::FileSystem::writing(request.output_dir, Arc::clone(events));
        let mut callbacks = files.callbacks();
        // SAFETY: the scene is live; two C strings; `callbacks` and the file system that it points
        // to live until the call returns, when the exporter, a local of the callee, is gone. No
        // extra post-processing, as in the vendor's own command line tool.
        let answer = unsafe {
            self.api.aiExportSceneEx(scene.scene, format.as_ptr(), path.as_ptr(), &mut callbacks, 0)
        };
        if events.cancelled() {
            return Err(EngineError::Cancelled);
        }
        if let Some(error) = files.write_error() {
            return Err(EngineError::Rejected(format!("writing the output failed: {error}")));
        }
        match answer {
            ffi::aiReturn_aiReturn_SUCCESS => Ok(()),
            ffi::aiReturn_aiReturn_OUTOFMEMORY => Err(EngineError::OutOfMemory("while exporting".to_owned())),
            _ => {
                let reason = self.last_error();
                let reason =
                    if reason.is_empty() { "Assimp could not export the scene".to_owned() } else { reason };
                Err(failure(&reason))
            }
        }
    }
}

/// An imported scene, released when dropped.
struct Scene<'a> {
    api: &'a ffi::AssimpApi,
    scene: *const ffi::aiScene,
}

impl Scene<'_> {
    /// Points that the writer of the format leaves out.
    fn lost_points(&self, counts: &contents::Scene, format: &str) -> u64 {
        // SAFETY: a live scene of the library.
        unsafe { scene::lost_points(self.scene, counts.points, format) }
    }

    /// Prepares what the writer of a format makes wrong, or reports wrongly.
    fn prepare(&self, format: &str, log: &LogStream<'_>) {
        // SAFETY: a live scene of the library, which nothing else uses now.
        unsafe {
            materials::keep_opacity(self.scene, format);
            log.set_misses_base_colours(materials::miss_base_colours(self.api, self.scene));
        }
    }

    /// Counts the meshes where the nodes place them.
    fn place(&self, counts: &mut contents::Scene) {
        // SAFETY: a live scene of the library.
        unsafe { placed::place(self.scene, counts) }
    }

    /// The name of the reader, as the library has it.
    fn reader(&self) -> String {
        // SAFETY: a live scene of the library.
        unsafe { placed::reader(self.scene) }
    }

    fn not_carried(&self, format: &str) -> Option<String> {
        // SAFETY: a live scene of the library.
        unsafe { scene::not_carried(self.api, self.scene, format) }
    }

    fn contents(&self) -> contents::Scene {
        // SAFETY: a live scene of the library.
        unsafe { scene::contents(self.scene) }
    }

    fn textures(&self) -> scene::Textures {
        // SAFETY: a live scene of the library.
        unsafe { scene::textures(self.api, self.scene) }
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if !self.scene.is_null() {
            // SAFETY: returned by `aiImportFileExWithProperties`, released once.
            unsafe { self.api.aiReleaseImport(self.scene) };
        }
    }
}

/// What can be done about coordinates that lose details.
fn advice(input: &Path, origin: Option<origin::Origin>) -> &'static str {
    match (origin::applies_to(input), origin) {
        (true, None) => "`--opt origin=auto` moves the model near the origin",
        (true, Some(_)) => "choose another `origin`",
        (false, _) => "move the model near the origin before",
    }
}

fn size_of(input: &Path) -> u64 {
    std::fs::metadata(input).map_or(0, |metadata| metadata.len())
}

/// Import properties, released when dropped.
struct Properties<'a> {
    api: &'a ffi::AssimpApi,
    store: *mut ffi::aiPropertyStore,
}

impl<'a> Properties<'a> {
    fn new(api: &'a ffi::AssimpApi, values: &[(CString, options::Value)]) -> Self {
        // SAFETY: no arguments.
        let store = unsafe { api.aiCreatePropertyStore() };
        for (name, value) in values {
            match value {
                // SAFETY: a live store and a C string that the callee copies.
                options::Value::Integer(number) => unsafe {
                    api.aiSetImportPropertyInteger(store, name.as_ptr(), *number);
                },
                // SAFETY: as above.
                options::Value::Real(number) => unsafe {
                    api.aiSetImportPropertyFloat(store, name.as_ptr(), *number)
                },
            }
        }
        Self { api, store }
    }
}

impl Drop for Properties<'_> {
    fn drop(&mut self) {
        // SAFETY: created by `aiCreatePropertyStore`, released once.
        unsafe { self.api.aiReleasePropertyStore(self.store) };
    }
}

/// Upper bound on the number of export formats queried; Assimp 5 has 22.
const MAX_OUTPUTS: usize = 1000;

/// The warning of points that are left out.
///
/// # Errors
/// [`EngineError::Unfit`] if there is nothing else.
fn lost_points(counts: &contents::Scene, lost: u64, format: &str) -> Result<String, EngineError> {
    if counts.points + counts.lines + counts.triangles + counts.polygons > lost {
        return Ok(format!("{lost} points were left out: Assimp writes no such points in format '{format}'"));
    }
    Err(EngineError::Unfit(format!(
        "it has {lost} points and no faces, and Assimp writes no such points in format '{format}'; convert it to glb"
    )))
}

/// Classifies the library's last error. Assimp has no error numbers; a failed allocation is
/// reported as the text of the C++ exception. The text is compared as a whole, because other errors
/// quote names from the input.
fn failure(reason: &str) -> EngineError {
    if matches!(reason, "std::bad_alloc" | "bad allocation") {
        EngineError::OutOfMemory(reason.to_owned())
    } else {
        model::refused(reason)
    }
}
