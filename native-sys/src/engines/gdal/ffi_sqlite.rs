//! The SQLite functions that are called, from the SQLite library that GDAL is linked with.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::OnceLock;

// Constants of sqlite3.h, which never change.
pub(super) const OPEN_READONLY: c_int = 0x1;
pub(super) const OPEN_URI: c_int = 0x40;
const ROW: c_int = 100;
const DONE: c_int = 101;
const OK: c_int = 0;
const DENY: c_int = 1;
const READONLY: c_int = 8;
const CANTOPEN: c_int = 14;
const ACTION_ATTACH: c_int = 24;
const ACTION_FUNCTION: c_int = 31;
const LIMIT_ATTACHED: c_int = 7;
const CONFIG_LOAD_EXTENSION: c_int = 1005;
const CONFIG_DEFENSIVE: c_int = 1010;
const CONFIG_TRUSTED_SCHEMA: c_int = 1017;

/// Name prefixes of functions that run statements, access files or networks, or change settings,
/// and that no reader calls. As the schema is untrusted, views cannot call them anyway, but a
/// module may be made to call one.
const DENIED_FUNCTIONS: &[&str] = &[
    "add",
    "autofdo",
    "autogpkg",
    "blobfromfile",
    "blobtofile",
    "clonetable",
    "create",
    "drop",
    "edit",
    "enable",
    "eval",
    "export",
    "fts3_tokenizer",
    "gdal_",
    "getvirtual",
    "gpkgadd",
    "gpkgcreate",
    "gpkginsert",
    "import",
    "init",
    "load_extension",
    "ogr_datasource",
    "ogr_geocode",
    "ogr_layer",
    "pause",
    "proj_set",
    "readfile",
    "rebuild",
    "recover",
    "register",
    "rl2_",
    "se_",
    "setdatalicense",
    "sqlproc_",
    "storedproc_",
    "storedvar_",
    "topogeo_",
    "toponet_",
    "unregister",
    "update",
    "wms_",
    "writefile",
    "xb_",
    "zipfile_",
];

#[repr(C)]
struct Database(c_void);
#[repr(C)]
struct Statement(c_void);

type Entry = unsafe extern "C" fn(*mut Database, *mut *mut c_char, *const c_void) -> c_int;
type Authorizer = unsafe extern "C" fn(
    *mut c_void,
    c_int,
    *const c_char,
    *const c_char,
    *const c_char,
    *const c_char,
) -> c_int;

macro_rules! functions {
    ($($name:ident: $kind:ty,)+) => {
        /// Functions of a SQLite library that stays loaded as long as the process.
        #[derive(Clone, Copy)]
        pub(super) struct Api { $($name: $kind,)+ }

        impl Api {
            /// The functions found in a library, or in one that it is linked with.
            pub(super) fn of(library: &libloading::Library) -> Option<Self> {
                // SAFETY: the types are those of sqlite3.h, which has had them since 3.14; no
                // function is called here.
                unsafe {
                    Some(Self { $($name: *library.get::<$kind>(concat!(stringify!($name), "\0")).ok()?,)+ })
                }
            }
        }
    };
}

functions! {
    sqlite3_open_v2: unsafe extern "C" fn(*const c_char, *mut *mut Database, c_int, *const c_char) -> c_int,
    sqlite3_close_v2: unsafe extern "C" fn(*mut Database) -> c_int,
    sqlite3_prepare_v2: unsafe extern "C" fn(
        *mut Database, *const c_char, c_int, *mut *mut Statement, *mut *const c_char) -> c_int,
    sqlite3_step: unsafe extern "C" fn(*mut Statement) -> c_int,
    sqlite3_finalize: unsafe extern "C" fn(*mut Statement) -> c_int,
    sqlite3_column_text: unsafe extern "C" fn(*mut Statement, c_int) -> *const c_char,
    sqlite3_errmsg: unsafe extern "C" fn(*mut Database) -> *const c_char,
    sqlite3_errcode: unsafe extern "C" fn(*mut Database) -> c_int,
    sqlite3_db_config: unsafe extern "C" fn(*mut Database, c_int, ...) -> c_int,
    sqlite3_limit: unsafe extern "C" fn(*mut Database, c_int, c_int) -> c_int,
    sqlite3_db_readonly: unsafe extern "C" fn(*mut Database, *const c_char) -> c_int,
    sqlite3_set_authorizer: unsafe extern "C" fn(*mut Database, Option<Authorizer>, *mut c_void) -> c_int,
    sqlite3_auto_extension: unsafe extern "C" fn(Option<Entry>) -> c_int,
}

/// A SQLite error.
#[derive(Debug)]
pub(super) struct Error {
    /// The file cannot be opened in this mode, whatever its content.
    pub(super) cannot_open: bool,
    pub(super) text: String,
}

/// An open database.
pub(super) struct Connection<'a> {
    api: &'a Api,
    database: *mut Database,
}

impl<'a> Connection<'a> {
    pub(super) fn open(api: &'a Api, uri: &CStr, flags: c_int) -> Result<Self, Error> {
        let mut database = std::ptr::null_mut();
        // SAFETY: a C string and a place for the handle; no VFS name. The handle must be closed
        // whatever the result is.
        let code = unsafe { (api.sqlite3_open_v2)(uri.as_ptr(), &mut database, flags, std::ptr::null()) };
        let this = Self { api, database };
        if code != OK || database.is_null() { Err(this.error()) } else { Ok(this) }
    }

    fn error(&self) -> Error {
        if self.database.is_null() {
            return Error { cannot_open: false, text: "out of memory".to_owned() };
        }
        // SAFETY: a live handle; the text is valid until the next call and is copied.
        let (code, text) = unsafe {
            let text = CStr::from_ptr((self.api.sqlite3_errmsg)(self.database)).to_string_lossy();
            ((self.api.sqlite3_errcode)(self.database) & 0xff, text.into_owned())
        };
        Error { cannot_open: code == CANTOPEN || code == READONLY, text }
    }

    fn prepare(&self, sql: &str) -> Result<Prepared<'_>, Error> {
        let fail = |text: &str| Error { cannot_open: false, text: text.to_owned() };
        let sql = CString::new(sql).map_err(|_| fail("a name with a NUL"))?;
        let mut statement = std::ptr::null_mut();
        // SAFETY: a live handle, a C string and a place for the statement; the other arguments are
        // null.
        let code = unsafe {
            (self.api.sqlite3_prepare_v2)(
                self.database,
                sql.as_ptr(),
                -1,
                &mut statement,
                std::ptr::null_mut(),
            )
        };
        if code != OK || statement.is_null() {
            Err(self.error())
        } else {
            Ok(Prepared { of: self, statement })
        }
    }

    /// Whether a statement compiles; it is not run.
    pub(super) fn compile(&self, sql: &str) -> Result<(), Error> {
        self.prepare(sql).map(drop)
    }

    /// The first column of the rows of a query, each up to its first NUL.
    pub(super) fn column(&self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        let prepared = self.prepare(sql)?;
        let mut rows = Vec::new();
        loop {
            // SAFETY: a live statement, used by this thread only.
            match unsafe { (self.api.sqlite3_step)(prepared.statement) } {
                ROW => {
                    // SAFETY: the statement has a row; the text is null or a C string in UTF-8 that
                    // is valid until the next step, and is copied.
                    rows.push(unsafe {
                        let text = (self.api.sqlite3_column_text)(prepared.statement, 0);
                        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
                    });
                }
                DONE => return Ok(rows),
                _ => return Err(self.error()),
            }
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once; null is harmless.
        unsafe { (self.api.sqlite3_close_v2)(self.database) };
    }
}

struct Prepared<'a> {
    of: &'a Connection<'a>,
    statement: *mut Statement,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // SAFETY: prepared once, finalized once.
        unsafe { (self.of.api.sqlite3_finalize)(self.statement) };
    }
}

/// For the function that SQLite calls, which has no user data.
static API: OnceLock<Api> = OnceLock::new();

/// Hardens every connection that is opened read-only, from now on and in the whole process.
/// Connections for writing, the result, are exempt: they have triggers of GDAL.
pub(super) fn harden_all(api: &Api) -> bool {
    let _ = API.set(*api);
    // SAFETY: the function has the type that SQLite calls, and is valid for the whole process.
    unsafe { (api.sqlite3_auto_extension)(Some(harden)) == OK }
}

unsafe extern "C" fn harden(database: *mut Database, _: *mut *mut c_char, _: *const c_void) -> c_int {
    let Some(api) = API.get() else { return OK };
    let none: *mut c_int = std::ptr::null_mut();
    // SAFETY: SQLite calls this with a live handle that it has just opened. Each setting takes an
    // int and a pointer to one, which may be null. The authorizer needs no data.
    unsafe {
        if (api.sqlite3_db_readonly)(database, c"main".as_ptr()) != 1 {
            return OK;
        }
        let on: c_int = 1;
        let off: c_int = 0;
        // Older versions do not know all of these settings; then only the schema check applies.
        (api.sqlite3_db_config)(database, CONFIG_DEFENSIVE, on, none);
        (api.sqlite3_db_config)(database, CONFIG_TRUSTED_SCHEMA, off, none);
        (api.sqlite3_db_config)(database, CONFIG_LOAD_EXTENSION, off, none);
        (api.sqlite3_limit)(database, LIMIT_ATTACHED, 0);
        (api.sqlite3_set_authorizer)(database, Some(authorize), std::ptr::null_mut())
    }
}

/// The authorizer. Called while a statement is compiled.
unsafe extern "C" fn authorize(
    _: *mut c_void,
    action: c_int,
    _: *const c_char,
    name: *const c_char,
    _: *const c_char,
    _: *const c_char,
) -> c_int {
    if action == ACTION_ATTACH {
        return DENY;
    }
    if action != ACTION_FUNCTION || name.is_null() {
        return OK;
    }
    // SAFETY: SQLite passes a C string that is valid during the call.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    let denied = DENIED_FUNCTIONS.iter().any(|denied| {
        name.get(..denied.len()).is_some_and(|start| start.eq_ignore_ascii_case(denied.as_bytes()))
    });
    if denied { DENY } else { OK }
}
