//! The binary: command line in, exit code out. One that is built for the fault tests ends where `FAILPOINTS` says.

fn main() -> std::process::ExitCode {
    #[cfg(feature = "failpoints")]
    let _points = fail::FailScenario::setup();
    walletwatch::cli::main()
}
