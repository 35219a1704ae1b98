//! Passes the optimisation level on to the crate, which shows it in `environment()`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let level = std::env::var("OPT_LEVEL").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=HELPERS_OPT_LEVEL={level}");
}
