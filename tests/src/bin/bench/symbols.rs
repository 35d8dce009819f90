// SPDX-License-Identifier: GPL-2.0-or-later
//! Which function of the kernel an address belongs to.

use std::collections::BTreeMap;

use anyhow::{ensure, Result};
use drbd_qemu::{Executed, Node};

/// Command that prints what [`Symbols::parse`] reads: functions of modules.
const OF_MODULES: &str = "grep -iE ' [tw] .*\\[' /proc/kallsyms";

/// The same with those of the kernel itself, which are many.
const ALL: &str = "grep -iE ' [tw] ' /proc/kallsyms";

/// A function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol {
    /// The module's name; empty for the kernel itself.
    pub(crate) module: String,
    /// As the source calls it.
    pub(crate) name: String,
}

/// Functions by their address.
#[derive(Debug, Default)]
pub(crate) struct Symbols(BTreeMap<u64, Symbol>);

impl Symbols {
    /// The functions of a node's modules as they are loaded now; with
    /// `whole_kernel` those of the kernel too, or else all of it is one.
    ///
    /// # Errors
    ///
    /// If the node does not tell.
    pub(crate) fn of(node: &Node, whole_kernel: bool) -> Result<Symbols> {
        let said = node.sh(if whole_kernel { ALL } else { OF_MODULES })?;
        let symbols = Symbols::parse(&said);
        ensure!(
            !symbols.0.is_empty() && !symbols.0.contains_key(&0),
            "{}: /proc/kallsyms has no addresses",
            node.name()
        );
        Ok(symbols)
    }

    /// From lines `ADDRESS TYPE NAME [MODULE]`.
    fn parse(text: &str) -> Symbols {
        let mut all = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address, 16) else {
                continue;
            };
            let module = words.next().unwrap_or_default();
            // Room for tracing before a function; nothing is executed there.
            if name.starts_with("__pfx_") {
                continue;
            }
            all.entry(address).or_insert_with(|| Symbol {
                module: module.trim_matches(['[', ']']).to_owned(),
                name: format!("{:#}", rustc_demangle::demangle(name)),
            });
        }
        Symbols(all)
    }

    /// The function that has the address: the last one that begins before it.
    fn at(&self, address: u64) -> Symbol {
        let found = self.0.range(..=address).next_back();
        found.map_or_else(
            || Symbol {
                module: String::new(),
                name: "the kernel".to_owned(),
            },
            |(_, symbol)| symbol.clone(),
        )
    }

    /// Instructions executed in each function.
    pub(crate) fn attribute(&self, executed: &Executed) -> BTreeMap<Symbol, u64> {
        let mut all = BTreeMap::new();
        for (block, instructions) in executed.kernel() {
            *all.entry(self.at(block.address)).or_default() += instructions;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffffffff81000000 T _text\n\
        ffffffffc0001000 t __pfx_drbd_al\t[drbd]\n\
        ffffffffc0001010 t drbd_al\t[drbd]\n\
        ffffffffc0002000 t _RNvCs1234_7mycrate3foo\t[drbd]\n\
        ffffffffc0009000 t lc_get\t[lru_cache]\n";

    #[test]
    fn an_address_belongs_to_the_function_before_it() {
        let symbols = Symbols::parse(TEXT);
        let name = |address| symbols.at(address).name;
        assert_eq!(name(0xffff_ffff_c000_1010), "drbd_al");
        assert_eq!(name(0xffff_ffff_c000_1fff), "drbd_al");
        assert_eq!(name(0xffff_ffff_c000_2004), "mycrate::foo");
        assert_eq!(symbols.at(0xffff_ffff_c000_a000).module, "lru_cache");
        assert_eq!(symbols.at(0xffff_ffff_8100_0001).module, "");
        assert_eq!(name(0xffff_8000_0000_0000), "the kernel");
    }
}
