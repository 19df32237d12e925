//! Generates bindings for the vendor libraries from their installed headers.
//!
//! Each library becomes one struct of function pointers that libloading fills at run time. Nothing
//! is linked: the engines remain optional, and this crate chooses the file that is loaded, pins it
//! and names it in errors. Only the functions listed here are bound, so that a library is rejected
//! only if it lacks a function that is called.

use std::path::{Path, PathBuf};

struct Vendor {
    /// File name in include/, and stem of the generated file.
    name: &'static str,
    /// Name of the generated struct.
    api: &'static str,
    /// A header that identifies the vendor's include directory.
    probe: &'static str,
    directories: &'static [&'static str],
    /// Environment variable that overrides the directory.
    variable: &'static str,
    package: &'static str,
    functions: &'static [&'static str],
    types: &'static str,
    constants: &'static str,
}

const VENDORS: &[Vendor] = &[
    Vendor {
        name: "assimp",
        api: "AssimpApi",
        probe: "assimp/cimport.h",
        directories: &["/usr/include", "/usr/local/include"],
        variable: "CADMILL_ASSIMP_INCLUDE",
        package: "libassimp-dev",
        functions: &[
            "aiGetVersionMajor",
            "aiGetVersionMinor",
            "aiGetVersionPatch",
            "aiGetErrorString",
            "aiGetExtensionList",
            "aiGetExportFormatCount",
            "aiGetExportFormatDescription",
            "aiReleaseExportFormatDescription",
            "aiCreatePropertyStore",
            "aiReleasePropertyStore",
            "aiSetImportPropertyInteger",
            "aiSetImportPropertyFloat",
            "aiSetImportPropertyString",
            "aiImportFileExWithProperties",
            "aiReleaseImport",
            "aiExportSceneEx",
            "aiApplyPostProcessing",
            "aiGetMaterialTextureCount",
            "aiGetMaterialString",
            "aiGetMaterialTexture",
            "aiAttachLogStream",
            "aiDetachAllLogStreams",
        ],
        types: "aiFile|aiFileIO|aiReturn|aiOrigin|aiLogStream|aiPostProcessSteps|aiScene|aiMesh|aiFace",
        constants: "",
    },
    Vendor {
        name: "gdal",
        api: "GdalApi",
        probe: "gdal_utils.h",
        directories: &["/usr/include/gdal", "/usr/include", "/usr/local/include", "/usr/local/include/gdal"],
        variable: "CADMILL_GDAL_INCLUDE",
        package: "libgdal-dev",
        functions: &[
            "GDALVersionInfo",
            "GDALAllRegister",
            "GDALGetDriverCount",
            "GDALGetDriver",
            "GDALGetDriverShortName",
            "GDALGetMetadataItem",
            "GDALOpenEx",
            "GDALClose",
            "GDALVectorTranslateOptionsNew",
            "GDALVectorTranslateOptionsSetProgress",
            "GDALVectorTranslateOptionsFree",
            "GDALVectorTranslate",
            "GDALGetDatasetDriver",
            "GDALDatasetGetLayerCount",
            "GDALDatasetGetLayer",
            "GDALGetFileList",
            "CSLDestroy",
            "OGR_L_GetName",
            "OGR_L_GetFeatureCount",
            "OGR_L_GetFeaturesRead",
            "OGR_L_GetGeomType",
            "OGR_GT_Flatten",
            "OGR_GT_HasM",
            "OGR_GT_HasZ",
            "OGR_GT_IsNonLinear",
            "OGR_L_GetLayerDefn",
            "OGR_L_GetSpatialRef",
            "OGR_L_GetExtent",
            "OGR_L_SetAttributeFilter",
            "OGR_L_SetSpatialFilterRect",
            "OGR_L_ResetReading",
            "OGR_L_GetNextFeature",
            "OGR_L_SetNextByIndex",
            "OGR_L_SetIgnoredFields",
            "OGR_L_TestCapability",
            "OGR_L_GetStyleTable",
            "OGR_STBL_Find",
            "OGR_F_Destroy",
            "OGR_F_GetFID",
            "OGR_F_GetGeometryRef",
            "OGR_F_GetFieldAsString",
            "OGR_F_GetFieldAsDouble",
            "OGR_F_GetStyleString",
            "OGR_F_IsFieldSetAndNotNull",
            "OGR_FD_GetFieldCount",
            "OGR_FD_GetFieldDefn",
            "OGR_FD_GetFieldIndex",
            "OGR_Fld_GetNameRef",
            "OGR_Fld_GetType",
            "OGR_GetFieldTypeName",
            "OGR_G_GetGeometryType",
            "OGR_G_GetEnvelope3D",
            "OGR_G_IsEmpty",
            "OGR_G_GetGeometryCount",
            "OGR_G_GetGeometryRef",
            "OGR_G_Set3D",
            "OGR_G_SetMeasured",
            "OGR_G_Segmentize",
            "OGR_G_SimplifyPreserveTopology",
            "OGR_G_MakeValid",
            "OGR_G_RemoveLowerDimensionSubGeoms",
            "OGR_G_HasCurveGeometry",
            "OGR_GeomTransformer_Create",
            "OGR_GeomTransformer_Transform",
            "OGR_GeomTransformer_Destroy",
            "OCTNewCoordinateTransformation",
            "OCTTransform",
            "OCTDestroyCoordinateTransformation",
            "OGR_G_WkbSize",
            "OGR_G_GetLinearGeometry",
            "OGR_G_DestroyGeometry",
            "OGR_G_ExportToIsoWkb",
            "OGRGeometryTypeToName",
            "OSRGetAuthorityName",
            "OSRGetAuthorityCode",
            "OSRGetName",
            "OSRIsGeographic",
            "OSRIsSame",
            "OSRExportToWktEx",
            "OSRGetLinearUnits",
            "OSRNewSpatialReference",
            "OSRSetFromUserInput",
            "OSRSetAxisMappingStrategy",
            "OSRDestroySpatialReference",
            "CPLSetErrorHandler",
            "CPLErrorReset",
            "CPLGetLastErrorType",
            "CPLSetConfigOption",
            "VSIFree",
        ],
        types: "CPLErr",
        constants: "GDAL_OF_.*|GDAL_DCAP_.*|GDAL_DMD_.*|GDAL_DS_LAYER_CREATIONOPTIONLIST",
    },
];

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=include");
    for vendor in VENDORS {
        bind(vendor, &out);
    }
    bind_plugin(&out);
}

/// Binds the plugin interface: its types and values, because the only function of a plugin is looked
/// up by its name.
fn bind_plugin(out: &Path) {
    let bindings = bindgen::Builder::default()
        .header("include/cadmill_plugin.h")
        .allowlist_type("^cadmill_.*$")
        .allowlist_var("^CADMILL_.*$")
        .ignore_functions()
        .generate_comments(false)
        .layout_tests(true)
        .generate()
        .unwrap_or_else(|e| panic!("cannot bind include/cadmill_plugin.h: {e}"));
    let file = out.join("plugin.rs");
    bindings.write_to_file(&file).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
}

fn bind(vendor: &Vendor, out: &Path) {
    println!("cargo:rerun-if-env-changed={}", vendor.variable);
    let include = include_directory(vendor);
    let functions = vendor.functions.join("|");
    let bindings = bindgen::Builder::default()
        .header(format!("include/{}.h", vendor.name))
        .clang_arg(format!("-I{}", include.display()))
        .dynamic_library_name(vendor.api)
        // With `false` a missing symbol would panic at its first call, instead of being an error
        // when the library is opened.
        .dynamic_link_require_all(true)
        .allowlist_function(format!("^({functions})$"))
        .allowlist_type(format!("^({})$", vendor.types))
        .allowlist_var(format!("^({})$", vendor.constants))
        .generate_comments(false)
        .layout_tests(true)
        .generate()
        .unwrap_or_else(|e| panic!("cannot bind {} from {}: {e}", vendor.name, include.display()));
    let file = out.join(format!("{}.rs", vendor.name));
    bindings.write_to_file(&file).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
    let list = format!("{:?}", vendor.functions);
    let file = out.join(format!("{}_functions.rs", vendor.name));
    std::fs::write(&file, format!("&{list}"))
        .unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
}

fn include_directory(vendor: &Vendor) -> PathBuf {
    let named = std::env::var_os(vendor.variable).map(PathBuf::from);
    let usual = vendor.directories.iter().map(PathBuf::from);
    named
        .into_iter()
        .chain(usual)
        .find(|directory| directory.join(vendor.probe).is_file())
        .unwrap_or_else(|| {
            panic!(
                "{} is in none of {}: install {} (run `make setup`), or set {} to the directory that holds it",
                vendor.probe,
                vendor.directories.join(", "),
                vendor.package,
                vendor.variable
            )
        })
}
