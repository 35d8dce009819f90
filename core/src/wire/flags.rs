// SPDX-License-Identifier: GPL-2.0-or-later
//! A set of named bits as one type per field. Bits without a name are kept, because a newer peer may know them.

/// Declares a set of bits over an unsigned integer.
macro_rules! flag_set {
    (
        $(#[$outer:meta])*
        pub struct $name:ident($int:ty) {
            $( $(#[$inner:meta])* $flag:ident = $value:literal; )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name($int);

        impl $name {
            $( $(#[$inner])* pub const $flag: Self = Self($value); )*

            /// No bit set.
            pub const NONE: Self = Self(0);

            /// The set with these bits; unnamed ones are kept.
            #[must_use]
            pub const fn from_bits(bits: $int) -> Self {
                Self(bits)
            }

            /// The bits as they travel.
            #[must_use]
            pub const fn bits(self) -> $int {
                self.0
            }

            /// Whether every bit of `other` is set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bits that are in one or the other.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits that are in both.
            #[must_use]
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// The bits that are here but not in `other`.
            #[must_use]
            pub const fn difference(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// Whether no bit is set.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }

        impl core::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) {
                *self = self.union(other);
            }
        }
    };
}

pub(super) use flag_set;
