//! What may be submitted, and in which order it is built.

use super::fixtures::{ENVIRONMENT, catalog, probe, published, repository};
use crate::{
    schedule::{Candidate, Catalog, Place, admit},
    work::Probe,
};

fn candidates(probes: &[Probe]) -> Vec<Candidate<'_>> {
    let candidate = |probe| Candidate {
        probe,
        nocheck: false,
        delivers: true,
    };
    probes.iter().map(candidate).collect()
}

fn judged(catalog: &Catalog, batch: &[Probe], open: &[Probe]) -> Result<Vec<Vec<String>>, Vec<String>> {
    let place = Place {
        repository: &repository(),
        environment: &ENVIRONMENT.parse().unwrap(),
        catalog,
    };
    admit(&place, &candidates(batch), &candidates(open))
        .map(|levels| {
            let names = |level: Vec<_>| level.iter().map(ToString::to_string).collect();
            levels.into_iter().map(names).collect()
        })
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn a_submission_is_built_in_levels_each_behind_what_it_needs() {
    let batch = [
        probe("app2", &["app", "gcc>=99"]),
        probe("app", &["lib"]),
        probe("tool", &[]),
        probe("lib", &[]),
    ];
    let levels = judged(&catalog(vec![]), &batch, &[]).unwrap();
    assert_eq!(levels, [vec!["lib", "tool"], vec!["app"], vec!["app2"]]);
}

#[test]
fn what_nobody_provides_is_refused_with_name_reason_and_next_step() {
    let errors = judged(&catalog(vec![]), &[probe("foo", &["libbar>=2", "gcc"])], &[]).unwrap_err();
    assert_eq!(
        errors,
        [
            "foo needs 'libbar>=2', which neither repository 'farm' nor the build environment host:debian-12 nor this \
          submission provides: build libbar first or in the same command"
        ]
    );
}

#[test]
fn a_version_that_is_too_old_does_not_satisfy() {
    let catalog = catalog(vec![published("lib", &[])]);
    assert!(judged(&catalog, &[probe("foo", &["lib>=1"])], &[]).is_ok());
    assert!(judged(&catalog, &[probe("foo", &["lib>=2"])], &[]).is_err());
}

#[test]
fn a_pkgver_function_may_raise_the_version_to_what_is_needed() {
    let lib = Probe {
        has_pkgver: true,
        ..probe("lib", &[])
    };
    assert!(judged(&catalog(vec![]), &[probe("foo", &["lib>=2"]), lib], &[]).is_ok());
}

#[test]
fn a_cycle_is_shown_as_a_path_and_the_same_in_any_order_of_submission() {
    let mut batch = vec![
        probe("b", &["c"]),
        probe("c", &["a"]),
        probe("a", &["b"]),
        probe("d", &["a"]),
    ];
    let first = judged(&catalog(vec![]), &batch, &[]).unwrap_err();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(
        first[0].starts_with("a dependency cycle: a -> b -> c -> a: break it"),
        "{first:?}"
    );
    batch.reverse();
    assert_eq!(judged(&catalog(vec![]), &batch, &[]).unwrap_err(), first);
}

#[test]
fn bases_that_need_each_other_are_rebuilt_together_where_both_are_published() {
    let batch = [probe("a", &["b"]), probe("b", &["a"])];
    let both = catalog(vec![published("a", &[]), published("b", &[])]);
    assert_eq!(judged(&both, &batch, &[]).unwrap(), [vec!["a", "b"]]);
    let one = catalog(vec![published("b", &[])]);
    assert_eq!(judged(&one, &batch, &[]).unwrap(), [vec!["a"], vec!["b"]]);
}

#[test]
fn a_base_never_waits_for_itself() {
    let mut split = probe("lib", &["lib-data"]);
    split
        .packages
        .push(probe("lib-data", &["lib=1-1"]).packages.remove(0));
    split.makedepends.push("lib".to_owned());
    assert_eq!(judged(&catalog(vec![]), &[split], &[]).unwrap(), [vec!["lib"]]);
}

#[test]
fn sonames_and_provided_names_count() {
    let mut lib = probe("lib", &[]);
    lib.packages[0].provides = vec!["libl.so=2-64".to_owned(), "virtual".to_owned()];
    let app = probe("app", &["libl.so=2-64", "virtual"]);
    let levels = judged(&catalog(vec![]), &[app, lib.clone()], &[]).unwrap();
    assert_eq!(levels, [vec!["lib"], vec!["app"]]);
    assert!(judged(&catalog(vec![]), &[probe("app", &["libl.so=3-64"]), lib], &[]).is_err());
}

#[test]
fn needs_of_check_count_unless_it_is_skipped() {
    let mut foo = probe("foo", &[]);
    foo.checkdepends.push("tester".to_owned());
    let place = Place {
        repository: &repository(),
        environment: &ENVIRONMENT.parse().unwrap(),
        catalog: &catalog(vec![]),
    };
    let skipping = |nocheck| Candidate {
        probe: &foo,
        nocheck,
        delivers: true,
    };
    assert!(admit(&place, &[skipping(true)], &[]).is_ok());
    assert!(admit(&place, &[skipping(false)], &[]).is_err());
}

#[test]
fn open_jobs_count_as_providers_and_what_is_no_dependency_is_named() {
    assert!(judged(&catalog(vec![]), &[probe("app", &["lib"])], &[probe("lib", &[])]).is_ok());
    let errors = judged(&catalog(vec![]), &[probe("app", &["lib>>1"])], &[]).unwrap_err();
    assert!(
        errors[0].starts_with("app: 'lib>>1' is not a dependency"),
        "{errors:?}"
    );
}

#[test]
fn a_build_root_has_all_that_is_needed_at_run_time_and_nothing_else() {
    let catalog = catalog(vec![
        published("lib", &["base-lib"]),
        published("base-lib", &["lib", "gone"]),
        published("other", &[]),
        published("compiler", &[]),
    ]);
    let mut compiler = probe("compiler", &["lib"]);
    compiler.makedepends.push("compiler".to_owned());
    let names = |probe: &Probe| {
        let inputs = candidates(std::slice::from_ref(probe))[0].inputs(&catalog);
        inputs.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&compiler), ["base-lib", "compiler", "lib"]);
    assert_eq!(names(&probe("lib", &["gcc"])), Vec::<String>::new());
}

#[test]
fn a_long_chain_of_sources_takes_no_deep_stack() {
    let names: Vec<String> = (0..3000).map(|number| format!("p{number:04}")).collect();
    let batch: Vec<Probe> = names
        .iter()
        .enumerate()
        .map(|(number, name)| match number {
            0 => probe(name, &[]),
            _ => probe(name, &[names[number - 1].as_str()]),
        })
        .collect();
    assert_eq!(judged(&catalog(vec![]), &batch, &[]).unwrap().len(), 3000);
}
