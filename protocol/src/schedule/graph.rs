//! Which job waits for which, in the view of one (repository, architecture).
//!
//! A job waits for every other open base that will make something it needs, also where an older version is published:
//! it is built against the new one. Such a wait is *soft*; it is dropped where it would close a circle, so that bases
//! that need each other can be rebuilt together against what is published. A circle of *hard* waits has no way out
//! and is shown as a path. What a base makes itself is never waited for.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use crate::{
    names::PackageName,
    schedule::{
        catalog::{Catalog, CatalogPackage, provisions},
        depends::{Dependency, DependencyError, Provide, satisfies},
    },
    work::Probe,
};

/// A source that is or will be built.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What its PKGBUILD says.
    pub probe: &'a Probe,
    /// `check()` is skipped, so its needs do not count.
    pub nocheck: bool,
    /// Its packages enter the repository; others can wait for them.
    pub delivers: bool,
}

impl<'a> Candidate<'a> {
    /// The package base.
    pub const fn base(&self) -> &'a PackageName {
        &self.probe.base
    }

    /// All that must be in its build root, by the names of others or its own.
    fn needs(&self) -> impl Iterator<Item = &'a str> {
        let checkdepends = if self.nocheck {
            &[]
        } else {
            self.probe.checkdepends.as_slice()
        };
        let tools = self.probe.makedepends.iter().chain(checkdepends);
        let depends = self.probe.packages.iter().flat_map(|package| &package.depends);
        depends.chain(tools).map(String::as_str)
    }

    fn provisions(&self) -> impl Iterator<Item = Provide> {
        self.probe.packages.iter().flat_map(|package| {
            let raised = self
                .probe
                .has_pkgver
                .then(|| Provide::any_version(package.name.as_str()));
            provisions(&package.name, &self.probe.version, &package.provides).chain(raised)
        })
    }

    /// Whether it will make what `dependency` asks for. A version that `pkgver()` has yet to raise meets any bound.
    pub(crate) fn makes(&self, dependency: &Dependency) -> bool {
        self.provisions().any(|provide| satisfies(&provide, dependency))
    }

    /// What must come from elsewhere: its needs less what it makes, read; or the first that cannot be read.
    pub(crate) fn outside_needs(&self) -> Result<BTreeSet<Dependency>, DependencyError> {
        let mut needs = self
            .needs()
            .map(str::parse)
            .collect::<Result<BTreeSet<Dependency>, _>>()?;
        needs.retain(|dependency| !self.makes(dependency));
        Ok(needs)
    }

    /// The packages of the repository that its build root contains: its needs and all that they need at run time.
    /// Tools that it makes itself come from the release in force, if there is one (a compiler that builds itself).
    pub fn inputs<'c>(&self, catalog: &'c Catalog) -> BTreeMap<PackageName, &'c CatalogPackage> {
        let mut needs = self.outside_needs().unwrap_or_default();
        let tools = self.probe.makedepends.iter().filter_map(|text| text.parse().ok());
        needs.extend(tools);
        catalog.closure(&needs)
    }
}

/// What stands between one source and its build; numbers are places in the list that the graph was made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits {
    /// Makers of what nobody provides yet.
    pub(crate) hard: BTreeSet<usize>,
    /// Makers of a newer version of what is provided.
    pub(crate) soft: BTreeSet<usize>,
    /// What nobody provides and nobody makes.
    pub(crate) missing: Vec<Dependency>,
    /// A need that is no dependency.
    pub(crate) unreadable: Option<DependencyError>,
}

impl Waits {
    /// All that it waits for.
    pub(crate) fn all(&self) -> impl Iterator<Item = usize> {
        self.hard.union(&self.soft).copied()
    }
}

/// The waits of a list of candidates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    /// In the order of the candidates.
    pub(crate) waits: Vec<Waits>,
    /// Circles of hard waits, each as a path that ends where it begins.
    pub(crate) cycles: Vec<Vec<usize>>,
}

impl Graph {
    /// Finds who waits for whom.
    pub(crate) fn of(catalog: &Catalog, candidates: &[Candidate<'_>]) -> Self {
        let mut makers: BTreeMap<String, Vec<(Provide, usize)>> = BTreeMap::new();
        for (number, candidate) in candidates.iter().enumerate().filter(|(_, c)| c.delivers) {
            for provide in candidate.provisions() {
                makers
                    .entry(provide.name().to_owned())
                    .or_default()
                    .push((provide, number));
            }
        }
        let waits = candidates
            .iter()
            .map(|candidate| waits_of(candidate, catalog, candidates, &makers))
            .collect();
        let mut graph = Self {
            waits,
            cycles: Vec::new(),
        };
        graph.drop_soft_waits_in_circles();
        graph.find_cycles(candidates);
        graph
    }

    fn drop_soft_waits_in_circles(&mut self) {
        let circles = components(self.waits.len(), |number| self.waits[number].all().collect());
        for (number, waits) in self.waits.iter_mut().enumerate() {
            waits.soft.retain(|other| circles[*other] != circles[number]);
        }
    }

    fn find_cycles(&mut self, candidates: &[Candidate<'_>]) {
        let hard = |number: usize| self.waits[number].hard.iter().copied().collect::<Vec<_>>();
        let circles = components(self.waits.len(), hard);
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, circle) in circles.iter().enumerate() {
            members.entry(*circle).or_default().push(number);
        }
        let mut cycles: Vec<Vec<usize>> = members
            .into_values()
            .filter(|circle| circle.len() > 1)
            .filter_map(|circle| {
                let first = circle
                    .into_iter()
                    .min_by_key(|number| candidates[*number].base())?;
                shortest_circle(first, |number| self.waits[number].hard.iter().copied())
            })
            .collect();
        cycles.sort_by_key(|cycle| cycle.first().map(|number| candidates[*number].base()));
        self.cycles = cycles;
    }

    /// For each candidate the length of the longest chain of others that wait for it: what is on the critical path
    /// of much is built first.
    pub(crate) fn heights(&self) -> Vec<usize> {
        let mut heights = vec![0; self.waits.len()];
        for number in self.topological().into_iter().rev() {
            for other in self.waits[number].all() {
                heights[other] = heights[other].max(heights[number] + 1);
            }
        }
        heights
    }

    /// For each candidate the length of the longest chain that it waits for.
    pub(crate) fn levels(&self) -> Vec<usize> {
        let mut levels = vec![0; self.waits.len()];
        for number in self.topological() {
            levels[number] = self.waits[number]
                .all()
                .map(|other| levels[other] + 1)
                .max()
                .unwrap_or(0);
        }
        levels
    }

    /// Those that wait for nobody first, each behind all that it waits for; members of circles are left out.
    fn topological(&self) -> Vec<usize> {
        let mut waiters: Vec<Vec<usize>> = vec![Vec::new(); self.waits.len()];
        let mut open: Vec<usize> = vec![0; self.waits.len()];
        for (number, waits) in self.waits.iter().enumerate() {
            for other in waits.all() {
                waiters[other].push(number);
                open[number] += 1;
            }
        }
        let mut sorted: Vec<usize> = (0..open.len()).filter(|number| open[*number] == 0).collect();
        let mut next = 0;
        while let Some(number) = sorted.get(next).copied() {
            next += 1;
            for waiter in &waiters[number] {
                open[*waiter] -= 1;
                if open[*waiter] == 0 {
                    sorted.push(*waiter);
                }
            }
        }
        sorted
    }
}

fn waits_of(
    candidate: &Candidate<'_>,
    catalog: &Catalog,
    candidates: &[Candidate<'_>],
    makers: &BTreeMap<String, Vec<(Provide, usize)>>,
) -> Waits {
    let mut waits = Waits::default();
    let needs = match candidate.outside_needs() {
        Ok(needs) => needs,
        Err(error) => {
            waits.unreadable = Some(error);
            return waits;
        }
    };
    for need in needs {
        let fitting: Vec<usize> = makers
            .get(need.name())
            .into_iter()
            .flatten()
            .filter(|(provide, maker)| {
                candidates[*maker].base() != candidate.base() && satisfies(provide, &need)
            })
            .map(|(_, maker)| *maker)
            .collect();
        if catalog.provides(&need) {
            waits.soft.extend(fitting);
        } else if fitting.is_empty() {
            waits.missing.push(need);
        } else {
            waits.hard.extend(fitting);
        }
    }
    waits.soft = &waits.soft - &waits.hard;
    waits
}

/// The number of the strongly connected component of each node (Kosaraju, with stacks of its own: a list of sources
/// may be long).
fn components(count: usize, targets: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let forward: Vec<Vec<usize>> = (0..count).map(targets).collect();
    let mut backward = vec![Vec::new(); count];
    for (from, targets) in forward.iter().enumerate() {
        for to in targets {
            backward[*to].push(from);
        }
    }
    let mut component = vec![usize::MAX; count];
    for root in finishing_order(&forward).into_iter().rev() {
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            if component[node] == usize::MAX {
                component[node] = root;
                open.extend(&backward[node]);
            }
        }
    }
    component
}

fn finishing_order(forward: &[Vec<usize>]) -> Vec<usize> {
    let mut seen = vec![false; forward.len()];
    let mut finished = Vec::with_capacity(forward.len());
    for root in 0..forward.len() {
        let mut path = if seen[root] { Vec::new() } else { vec![(root, 0)] };
        seen[root] = true;
        while let Some((node, next)) = path.last_mut() {
            match forward[*node].get(*next).copied() {
                Some(target) => {
                    *next += 1;
                    if !seen[target] {
                        seen[target] = true;
                        path.push((target, 0));
                    }
                }
                None => {
                    finished.push(*node);
                    path.pop();
                }
            }
        }
    }
    finished
}

/// The shortest way from `first` back to itself, with `first` at both ends.
fn shortest_circle<I: IntoIterator<Item = usize>>(
    first: usize,
    targets: impl Fn(usize) -> I,
) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = std::collections::VecDeque::from([first]);
    while let Some(node) = open.pop_front() {
        for target in targets(node) {
            if target == first {
                let mut path = vec![first, node];
                while let Some(before) = path.last().and_then(|node| came_from.get(node)) {
                    path.push(*before);
                }
                path.reverse();
                return Some(path);
            }
            if let Entry::Vacant(entry) = came_from.entry(target) {
                entry.insert(node);
                open.push_back(target);
            }
        }
    }
    None
}
