//! Makes the constants of the MPI library known to cells.
//!
//! The `mpi` crate reads them from a small C library, which is linked into this crate's dynamic
//! library. A dynamic library shows to others only what its crate declares to come from a static
//! library, and the `mpi` crate does not: so it is declared here. Cells hold code of the `mpi`
//! crate that was made for their types, and that code needs the constants.

// Nobody uses these declarations, so their types do not matter.
#[allow(clashing_extern_declarations, dead_code)]
#[link(name = "rsmpi", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {
    static RSMPI_C_BOOL: u8;
    static RSMPI_FLOAT: u8;
    static RSMPI_DOUBLE: u8;
    static RSMPI_INT8_T: u8;
    static RSMPI_INT16_T: u8;
    static RSMPI_INT32_T: u8;
    static RSMPI_INT64_T: u8;
    static RSMPI_UINT8_T: u8;
    static RSMPI_UINT16_T: u8;
    static RSMPI_UINT32_T: u8;
    static RSMPI_UINT64_T: u8;
    static RSMPI_FLOAT_COMPLEX: u8;
    static RSMPI_DOUBLE_COMPLEX: u8;
    static RSMPI_DATATYPE_NULL: u8;
    static RSMPI_COMM_WORLD: u8;
    static RSMPI_COMM_NULL: u8;
    static RSMPI_COMM_SELF: u8;
    static RSMPI_COMM_TYPE_SHARED: u8;
    static RSMPI_GROUP_EMPTY: u8;
    static RSMPI_GROUP_NULL: u8;
    static RSMPI_UNDEFINED: u8;
    static RSMPI_PROC_NULL: u8;
    static RSMPI_ANY_SOURCE: u8;
    static RSMPI_ANY_TAG: u8;
    static RSMPI_MESSAGE_NULL: u8;
    static RSMPI_MESSAGE_NO_PROC: u8;
    static RSMPI_REQUEST_NULL: u8;
    static RSMPI_STATUS_IGNORE: u8;
    static RSMPI_STATUSES_IGNORE: u8;
    static RSMPI_IDENT: u8;
    static RSMPI_CONGRUENT: u8;
    static RSMPI_SIMILAR: u8;
    static RSMPI_UNEQUAL: u8;
    static RSMPI_THREAD_SINGLE: u8;
    static RSMPI_THREAD_FUNNELED: u8;
    static RSMPI_THREAD_SERIALIZED: u8;
    static RSMPI_THREAD_MULTIPLE: u8;
    static RSMPI_GRAPH: u8;
    static RSMPI_CART: u8;
    static RSMPI_DIST_GRAPH: u8;
    static RSMPI_MAX_LIBRARY_VERSION_STRING: u8;
    static RSMPI_MAX_PROCESSOR_NAME: u8;
    static RSMPI_MAX: u8;
    static RSMPI_MIN: u8;
    static RSMPI_SUM: u8;
    static RSMPI_PROD: u8;
    static RSMPI_LAND: u8;
    static RSMPI_BAND: u8;
    static RSMPI_LOR: u8;
    static RSMPI_BOR: u8;
    static RSMPI_LXOR: u8;
    static RSMPI_BXOR: u8;
    static RSMPI_ERRORS_ARE_FATAL: u8;
    static RSMPI_ERRORS_RETURN: u8;
    static RSMPI_FILE_NULL: u8;
    static RSMPI_INFO_NULL: u8;
    static RSMPI_WIN_NULL: u8;
    fn RSMPI_UNWEIGHTED();
    fn RSMPI_Wtime();
    fn RSMPI_Wtick();
}
