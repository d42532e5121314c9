//! The words spoken to makepkg(8), and what its answers mean.
//!
//! Nothing is passed that would let a build choose: the configuration is the mesh's, the folders are fixed, so that two
//! workers build the same bytes. Signature checks stay on; keys come from the tree's `keys/pgp` into a keyring that
//! dies with the attempt. Dependencies are the mesh's business (`--nodeps`).

use pacmesh_protocol::{ledger::kinds::BuildOptions, work::FailureClass};

use super::{attempt::RunStage, log::Findings, process::Stop};

/// The makepkg.conf of a new mesh.
pub const DEFAULT_MAKEPKG_CONF: &str = include_str!("makepkg.conf");

/// Longest reason in a status, in characters ([`pacmesh_protocol::work::Outcome`]: one line, at most 500).
const REASON_LIMIT: usize = 400;

/// Behind the .SRCINFO where the PKGBUILD has a `pkgver()`, which .SRCINFO does not tell.
pub(super) const PKGVER_MARK: &str = "# pacmesh: the PKGBUILD has a pkgver() function";

/// Reads metadata; memory and file size are bounded (FORMATS, "Numbers": probe 1 GiB of memory).
pub(super) const PROBE_SCRIPT: &str = r#"
: > /logdest/started
echo 800 > /proc/self/oom_score_adj
ulimit -c 0
ulimit -v 1048576
ulimit -f 65536
ulimit -u 256
makepkg --printsrcinfo --nocolor --config /etc/makepkg.conf || exit
if (source ./PKGBUILD && declare -F pkgver) >/dev/null 2>&1; then echo "$1"; fi
exit 0
"#;

/// Fetches, checks and extracts sources, and runs `prepare()` and `pkgver()`.
pub(super) const PREPARE_SCRIPT: &str = r#"
: > /logdest/started
echo 800 > /proc/self/oom_score_adj
ulimit -c 0
mkdir -p -m 700 "$GNUPGHOME"
shopt -s nullglob
keys=(keys/pgp/*.asc)
if (( ${#keys[@]} )); then gpg --batch --quiet --no-autostart --import "${keys[@]}"; fi
exec makepkg --nobuild --nodeps --nocolor --noconfirm --config /etc/makepkg.conf "$@"
"#;

/// Prints .SRCINFO of what `prepare` left.
pub(super) const SRCINFO_SCRIPT: &str = r#"
: > /logdest/started
echo 800 > /proc/self/oom_score_adj
ulimit -c 0
ulimit -v 1048576
ulimit -f 65536
ulimit -u 256
exec makepkg --printsrcinfo --nocolor --config /etc/makepkg.conf
"#;

/// Builds, checks and packages what was prepared.
pub(super) const BUILD_SCRIPT: &str = r#"
: > /logdest/started
echo 800 > /proc/self/oom_score_adj
ulimit -c 0
exec makepkg --noextract --holdver --nodeps --nocolor --noconfirm --nosign --force --config /etc/makepkg.conf "$@"
"#;

/// Extracts the archive on standard input to what is mounted at `/layer`. libarchive refuses `..` and follows no link
/// (bsdtar(1), -P is not given).
pub(super) const INSTALL_SCRIPT: &str = r#"
: > /logdest/started
exec bsdtar -xf - -C /layer --no-same-owner --exclude '^.PKGINFO' --exclude '^.BUILDINFO' \
    --exclude '^.MTREE' --exclude '^.INSTALL' --exclude '^.CHANGELOG'
"#;

/// Arguments that the job's options add.
pub(super) fn arguments(stage: RunStage, options: &BuildOptions) -> Vec<String> {
    let mut arguments = Vec::new();
    if options.ignorearch {
        arguments.push("--ignorearch".to_owned());
    }
    if stage == RunStage::Build {
        // The mesh's configuration might say otherwise.
        let check = if options.nocheck { "--nocheck" } else { "--check" };
        arguments.push(check.to_owned());
    }
    arguments
}

/// What a run of makepkg came to, before anyone knows why.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    /// In which stage.
    pub(super) stage: RunStage,
    /// The exit code, unless a signal ended it.
    pub(super) code: Option<i32>,
    /// Set where the runner stopped it.
    pub(super) stop: Option<Stop>,
    /// What the log says.
    pub(super) findings: &'a Findings,
}

impl Failure<'_> {
    /// The class of a failure that is the job's own, or of the worker's tools, with one line for people.
    pub(super) fn judge(&self) -> (FailureClass, String) {
        let (class, reason) = match self.stop {
            Some(stop) => (self.class_of_stage(), self.stopped(stop)),
            None => self.exited(),
        };
        (class, one_line(&reason))
    }

    fn exited(&self) -> (FailureClass, String) {
        let said = self.findings.error.clone();
        if let Some(function) = &self.findings.function {
            let text = format!("{function}() failed, the log says why");
            return (class_of_function(function), text);
        }
        if let Some(syntax) = &self.findings.syntax {
            let place = syntax
                .rsplit_once('/')
                .map_or(syntax.as_str(), |(_, place)| place);
            return (
                FailureClass::Source,
                format!("the PKGBUILD does not parse: {place}"),
            );
        }
        // Numbers of /usr/share/makepkg/util/error.sh.
        let class = match self.code {
            // A configuration or permission error, or a program that makepkg needs is missing. Where makepkg says nothing,
            // the number is the PKGBUILD's own (bash itself ends with 2 when memory is short).
            Some(2 | 3 | 10 | 11 | 15) if said.is_some() => FailureClass::Sandbox,
            // E_PACKAGE_FAILED, E_MISSING_FILE, E_MISSING_PKGDIR
            Some(5..=7) if self.stage == RunStage::Build => FailureClass::Package,
            Some(12) => FailureClass::Source,
            _ => match self.stage {
                RunStage::Probe | RunStage::Prepare => FailureClass::Source,
                RunStage::Build => FailureClass::Package,
            },
        };
        let code = self
            .code
            .map_or("by a signal".to_owned(), |code| format!("with exit code {code}"));
        (
            class,
            said.unwrap_or_else(|| format!("makepkg ended {code}, the log says why")),
        )
    }

    fn stopped(&self, stop: Stop) -> String {
        match stop {
            Stop::Time => "it took too long and was stopped".to_owned(),
            Stop::Silence => "it printed nothing for too long and was stopped".to_owned(),
            Stop::Output => "its metadata is longer than 1 MiB".to_owned(),
            Stop::Cancelled => "it was cancelled".to_owned(),
        }
    }

    const fn class_of_stage(&self) -> FailureClass {
        match self.stage {
            RunStage::Probe => FailureClass::Source,
            RunStage::Prepare => FailureClass::Prepare,
            RunStage::Build => FailureClass::Build,
        }
    }
}

fn class_of_function(function: &str) -> FailureClass {
    match function {
        "build" => FailureClass::Build,
        "check" => FailureClass::Check,
        "prepare" | "pkgver" => FailureClass::Prepare,
        "verify" => FailureClass::Source,
        _ => FailureClass::Package,
    }
}

/// Printable and short, whatever a build wrote.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(REASON_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(stage: RunStage, code: i32, findings: &Findings) -> (FailureClass, String) {
        let failure = Failure {
            stage,
            code: Some(code),
            stop: None,
            findings,
        };
        failure.judge()
    }

    #[test]
    fn a_failure_is_named_after_the_function_that_failed() {
        for (function, class) in [
            ("build", FailureClass::Build),
            ("check", FailureClass::Check),
            ("package_foo", FailureClass::Package),
            ("prepare", FailureClass::Prepare),
        ] {
            let findings = Findings {
                function: Some(function.to_owned()),
                ..Findings::default()
            };
            assert_eq!(judge(RunStage::Build, 4, &findings).0, class);
        }
    }

    #[test]
    fn a_missing_tool_is_the_workers_fault() {
        let said = Findings {
            error: Some("Cannot find the git binary required for source package.".to_owned()),
            ..Findings::default()
        };
        assert!(judge(RunStage::Prepare, 15, &said).0.is_workers_fault());
        let (class, _) = judge(RunStage::Prepare, 15, &Findings::default());
        assert!(!class.is_workers_fault(), "a PKGBUILD that exits with 15");
    }

    #[test]
    fn a_syntax_error_is_told_with_its_line() {
        let findings = Findings {
            syntax: Some("/startdir/PKGBUILD: line 7: syntax error: unexpected end of file".to_owned()),
            ..Findings::default()
        };
        let (class, reason) = judge(RunStage::Probe, 1, &findings);
        assert_eq!(class, FailureClass::Source);
        assert_eq!(
            reason,
            "the PKGBUILD does not parse: PKGBUILD: line 7: syntax error: unexpected end of file"
        );
    }

    #[test]
    fn inv5_what_a_build_prints_becomes_one_short_line() {
        assert_eq!(one_line("a\x1b[31m\nb"), "a [31m b");
        assert_eq!(one_line(&"x".repeat(5000)).len(), REASON_LIMIT);
    }
}
