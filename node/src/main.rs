//! The `pacmesh` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    pacmesh::cli::main()
}
