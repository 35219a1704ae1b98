//! Makes the constants of the MPI library known to cells.
//!
//! The `mpi` crate reads them from a small C library, which is linked into this crate's dynamic
//! library. A dynamic library shows to others only what its crate declares to come from a static
//! library, and the `mpi` crate does not: so it is declared here. Cells hold code of the `mpi`
//! crate that was made for their types, and that code needs the constants.

// Nobody uses these declarations, so their types do not matter.
#[allow(clashing_extern_declarations, dead_code)]
#[link(name = "rsmpi", kind = "static", modifiers = "-bundle")]
#[allow(missing_docs)]
unsafe extern "C" {
    pub static RSMPI_C_BOOL: u8;
    pub static RSMPI_FLOAT: u8;
    pub static RSMPI_DOUBLE: u8;
    pub static RSMPI_INT8_T: u8;
    pub static RSMPI_INT16_T: u8;
    pub static RSMPI_INT32_T: u8;
    pub static RSMPI_INT64_T: u8;
    pub static RSMPI_UINT8_T: u8;
    pub static RSMPI_UINT16_T: u8;
    pub static RSMPI_UINT32_T: u8;
    pub static RSMPI_UINT64_T: u8;
    pub static RSMPI_FLOAT_COMPLEX: u8;
    pub static RSMPI_DOUBLE_COMPLEX: u8;
    pub static RSMPI_DATATYPE_NULL: u8;
    pub static RSMPI_COMM_WORLD: u8;
    pub static RSMPI_COMM_NULL: u8;
    pub static RSMPI_COMM_SELF: u8;
    pub static RSMPI_COMM_TYPE_SHARED: u8;
    pub static RSMPI_GROUP_EMPTY: u8;
    pub static RSMPI_GROUP_NULL: u8;
    pub static RSMPI_UNDEFINED: u8;
    pub static RSMPI_PROC_NULL: u8;
    pub static RSMPI_ANY_SOURCE: u8;
    pub static RSMPI_ANY_TAG: u8;
    pub static RSMPI_MESSAGE_NULL: u8;
    pub static RSMPI_MESSAGE_NO_PROC: u8;
    pub static RSMPI_REQUEST_NULL: u8;
    pub static RSMPI_STATUS_IGNORE: u8;
    pub static RSMPI_STATUSES_IGNORE: u8;
    pub static RSMPI_IDENT: u8;
    pub static RSMPI_CONGRUENT: u8;
    pub static RSMPI_SIMILAR: u8;
    pub static RSMPI_UNEQUAL: u8;
    pub static RSMPI_THREAD_SINGLE: u8;
    pub static RSMPI_THREAD_FUNNELED: u8;
    pub static RSMPI_THREAD_SERIALIZED: u8;
    pub static RSMPI_THREAD_MULTIPLE: u8;
    pub static RSMPI_GRAPH: u8;
    pub static RSMPI_CART: u8;
    pub static RSMPI_DIST_GRAPH: u8;
    pub static RSMPI_MAX_LIBRARY_VERSION_STRING: u8;
    pub static RSMPI_MAX_PROCESSOR_NAME: u8;
    pub static RSMPI_MAX: u8;
    pub static RSMPI_MIN: u8;
    pub static RSMPI_SUM: u8;
    pub static RSMPI_PROD: u8;
    pub static RSMPI_LAND: u8;
    pub static RSMPI_BAND: u8;
    pub static RSMPI_LOR: u8;
    pub static RSMPI_BOR: u8;
    pub static RSMPI_LXOR: u8;
    pub static RSMPI_BXOR: u8;
    pub static RSMPI_ERRORS_ARE_FATAL: u8;
    pub static RSMPI_ERRORS_RETURN: u8;
    pub static RSMPI_FILE_NULL: u8;
    pub static RSMPI_INFO_NULL: u8;
    pub static RSMPI_WIN_NULL: u8;
    pub fn RSMPI_UNWEIGHTED();
    pub fn RSMPI_Wtime();
    pub fn RSMPI_Wtick();
}
