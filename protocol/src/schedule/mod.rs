//! Who builds what.
