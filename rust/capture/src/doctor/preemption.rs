//! This kernel's preemption of tasks → if it preempts programs at tracepoints, and if they are detached safely.

use std::fs;

use membench_bpf::{KernelTypes, kernel_release};

use crate::doctor::Check;
use crate::{Facts, Result};

/// Lists the models that the kernel can be switched to, the active one in parentheses.
const MODELS: &str = "/sys/kernel/debug/sched/preempt";
/// Names the model that the kernel was built for.
const VERSION: &str = "/proc/version";
/// First release candidate of Linux 7.0 that waits for a program's last run before it frees it. Tracepoint programs were
/// preemptible before. <https://github.com/torvalds/linux/commit/c76fef7dcd93>
const SAFE_CANDIDATE: u32 = 7;

/// Examines the kernel under a capture that is attached.
pub(super) fn examine(facts: &Facts) -> Result<Check> {
    let preempts = KernelTypes::read()?.preempts_tracepoints();
    let model = fs::read_to_string(MODELS)
        .ok()
        .and_then(|text| active(&text));
    let model = model.or_else(|| built_for(&fs::read_to_string(VERSION).ok()?));
    let model = model.unwrap_or_else(|| "unknown model".into());
    let standby = if facts.standby { "used" } else { "not used" };
    let programs = if preempts {
        "programs can be preempted"
    } else {
        "programs are not preempted"
    };
    let detail = format!("{model}: {programs}; standby programs are {standby}");
    let release = kernel_release();
    if preempts && !frees_safely(&release) {
        return Ok(Check {
            name: "preemption".to_owned(),
            works: false,
            detail: format!(
                "{detail}. Linux {release} may free a program that still runs when it is detached, \
                 and crash: use 7.0 or newer"
            ),
        });
    }
    Ok(Check {
        name: "preemption".to_owned(),
        works: true,
        detail,
    })
}

/// Returns the active model of a list such as `full (lazy)`.
fn active(models: &str) -> Option<String> {
    let (_, rest) = models.split_once('(')?;
    rest.split_once(')').map(|(model, _)| model.to_owned())
}

/// Returns the model in a version such as `Linux version 6.12.1 (…) #1 SMP PREEMPT_DYNAMIC Sat Nov 28 …`.
fn built_for(version: &str) -> Option<String> {
    let mut words = version.split_whitespace();
    let model = words.find(|word| word.starts_with("PREEMPT"));
    model.map(ToOwned::to_owned)
}

/// Returns true if a kernel that preempts tracepoint programs also waits for them when they are detached. Release
/// candidates of 7.0 did not at first, and an older kernel with the change does not tell.
fn frees_safely(release: &str) -> bool {
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    let version: (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    let candidate = release.split_once("rc").map(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    match version {
        (7, 0) => candidate.is_none_or(|candidate: u32| candidate >= SAFE_CANDIDATE),
        version => version > (7, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_model_is_the_one_in_parentheses() {
        assert_eq!(active("none voluntary full (lazy)\n").unwrap(), "lazy");
        assert!(active("").is_none());
    }

    #[test]
    fn a_version_names_the_model_that_a_kernel_was_built_for() {
        let version = "Linux version 7.2.13 (gcc 15) #1 SMP PREEMPT_DYNAMIC Sat Nov 28 2026";
        assert_eq!(built_for(version).unwrap(), "PREEMPT_DYNAMIC");
        assert!(built_for("Linux version 5.10.0 #1 SMP Debian").is_none());
    }

    #[test]
    fn only_early_candidates_of_7_and_older_kernels_are_unsafe_to_detach_from() {
        for (release, safe) in [
            ("7.0.0-15-generic", true),
            ("7.2.13+deb14-amd64", true),
            ("7.0.0-rc7", true),
            ("7.0.0-rc6-custom", false),
            ("7.0-rc1-amd64", false),
            ("6.18.44", false),
            ("8.0.0-rc1", true),
        ] {
            assert_eq!(frees_safely(release), safe, "{release}");
        }
    }
}
