//! Cuts: what a machine drops of what others send, as one nftables table for each cut, in the receiver's namespace.
//!
//! Both ends of a cut keep their links and addresses and learn nothing: packets vanish, as behind a broken switch.

use std::sync::PoisonError;

use super::{Namespaces, hardware_address, inside};

impl Namespaces {
    /// Nothing passes between the machines of `one` and those of `other` any more. The name is for `heal`: lower-case
    /// letters, digits and `_`.
    pub fn cut(&self, name: &str, one: &[usize], other: &[usize]) {
        self.drop_from(name, one, other);
        self.drop_from(name, other, one);
    }

    /// Nothing that `from` sends reaches `to`; what `to` sends still arrives.
    pub fn cut_one_way(&self, name: &str, from: &[usize], to: &[usize]) {
        self.drop_from(name, from, to);
    }

    /// Ends a cut.
    pub fn heal(&self, name: &str) {
        let cut = self
            .cuts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        for place in cut.unwrap_or_else(|| panic!("there is no cut named {name}")) {
            inside(
                &self.names()[place],
                &["nft", "delete", "table", "inet", &table(name)],
            );
        }
    }

    /// Ends all cuts.
    pub fn heal_all(&self) {
        let names: Vec<_> = self
            .cuts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect();
        names.iter().for_each(|name| self.heal(name));
    }

    fn drop_from(&self, name: &str, from: &[usize], to: &[usize]) {
        let senders: Vec<_> = from.iter().map(|place| hardware_address(*place)).collect();
        let senders = senders.join(", ");
        for place in to {
            let rules = format!(
                "table inet {} {{ chain in {{ type filter hook input priority 0; \
                 ether saddr {{ {senders} }} drop; }}; }}",
                table(name)
            );
            inside(&self.names()[*place], &["nft", &rules]);
        }
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        cuts.entry(name.to_owned()).or_default().extend(to);
    }
}

fn table(name: &str) -> String {
    format!("cut_{name}")
}
