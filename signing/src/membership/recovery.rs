//! The recovery code: the authority's secret as a person can write it down and type it again.
//!
//! 60 characters of Crockford's base 32 in twelve groups of five: 256 bits of seed, then 44 bits of BLAKE3 over it,
//! so that a typing error is found out at once and not by founding another mesh. Upper and lower case are one; `O`
//! reads as 0, `I` and `L` as 1; spaces and dashes do not matter.

use std::fmt;

use zeroize::Zeroizing;

use crate::secret::Seed;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SYMBOLS: usize = 60;
const GROUP: usize = 5;
/// Seed and check together: 300 bits, the last four of these bytes' 304 are unused.
const BYTES: usize = 38;
/// The context of the check (BLAKE3's key derivation), so that it tells nothing about the seed elsewhere.
const CONTEXT: &str = "pacmesh 2026 recovery code check 1";

/// Why a text is not a recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// A character that no code has.
    #[error("'{character}' (character {place}) is in no recovery code: letters and digits without U")]
    Character {
        /// The character.
        character: char,
        /// Its place, from 1, spaces and dashes not counted.
        place: usize,
    },
    /// Characters are missing or too many.
    #[error("a recovery code has {SYMBOLS} letters and digits, this has {0}")]
    Length(usize),
    /// The check does not fit.
    #[error("the recovery code has a typing error: compare it with what was written down")]
    Typo,
}

/// A recovery code. `Display` shows it, for the terminal; `Debug` does not.
#[derive(Clone)]
pub struct RecoveryCode(Zeroizing<String>);

impl RecoveryCode {
    pub(super) fn write(seed: &Seed) -> Self {
        let bytes = with_check(seed.expose());
        let mut text = Zeroizing::new(String::with_capacity(SYMBOLS + SYMBOLS / GROUP));
        for symbol in 0..SYMBOLS {
            if symbol > 0 && symbol % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(five_bits(&bytes, symbol))]));
        }
        RecoveryCode(text)
    }

    pub(super) fn read(text: &str) -> Result<Seed, RecoveryError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let mut symbols = 0;
        for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            if symbols < SYMBOLS {
                let value = value_of(character).ok_or(RecoveryError::Character {
                    character,
                    place: symbols + 1,
                })?;
                set_five_bits(&mut bytes, symbols, value);
            }
            symbols += 1;
        }
        if symbols != SYMBOLS {
            return Err(RecoveryError::Length(symbols));
        }
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&bytes[..32]);
        if *with_check(&seed) == *bytes {
            Ok(seed.into())
        } else {
            Err(RecoveryError::Typo)
        }
    }
}

impl fmt::Display for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

fn with_check(seed: &[u8; 32]) -> Zeroizing<[u8; BYTES]> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    bytes[..32].copy_from_slice(seed);
    bytes[32..].copy_from_slice(&blake3::derive_key(CONTEXT, seed)[..BYTES - 32]);
    bytes[BYTES - 1] &= 0xf0;
    bytes
}

/// The five bits at `5 * symbol`, high bits first; bits past the end are zero.
fn five_bits(bytes: &[u8; BYTES], symbol: usize) -> u8 {
    let (byte, shift) = (5 * symbol / 8, 5 * symbol % 8);
    let next = bytes.get(byte + 1).copied().unwrap_or(0);
    let pair = u16::from_be_bytes([bytes[byte], next]);
    ((pair >> (11 - shift)) & 0x1f) as u8
}

fn set_five_bits(bytes: &mut [u8; BYTES], symbol: usize, value: u8) {
    let (byte, shift) = (5 * symbol / 8, 5 * symbol % 8);
    let [high, low] = (u16::from(value) << (11 - shift)).to_be_bytes();
    bytes[byte] |= high;
    if let Some(next) = bytes.get_mut(byte + 1) {
        *next |= low;
    }
}

fn value_of(character: char) -> Option<u8> {
    let character = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let place = ALPHABET
        .iter()
        .position(|symbol| char::from(*symbol) == character)?;
    u8::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seed(bytes: [u8; 32]) -> Seed {
        Zeroizing::new(bytes).into()
    }

    #[test]
    fn a_code_is_twelve_groups_of_five() {
        let code = RecoveryCode::write(&seed([7; 32])).to_string();
        let groups: Vec<&str> = code.split('-').collect();
        assert_eq!(groups.len(), 12, "{code}");
        assert!(groups.iter().all(|group| group.len() == 5), "{code}");
    }

    #[test]
    fn codes_that_were_written_down_stay_good() {
        let code = RecoveryCode::write(&seed([0x5a; 32])).to_string();
        assert_eq!(
            code,
            "B9D5M-PJTB9-D5MPJ-TB9D5-MPJTB-9D5MP-JTB9D-5MPJT-B9D5M-PJTB9-D69YH-Q925K"
        );
    }

    #[test]
    fn what_people_do_to_a_code_does_not_matter() {
        let code = RecoveryCode::write(&seed([8; 32])).to_string();
        let forms = [
            code.to_lowercase(),
            code.replace('-', " "),
            code.replace('-', ""),
            code.replace('0', "o").replace('1', "l"),
            format!("  {}\n", code.replace('1', "I")),
        ];
        for form in forms {
            assert_eq!(RecoveryCode::read(&form).unwrap().expose(), &[8; 32], "{form}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused_by_its_reason() {
        let code = RecoveryCode::write(&seed([9; 32])).to_string();
        let refused = |text: &str| RecoveryCode::read(text).unwrap_err();
        assert_eq!(refused(""), RecoveryError::Length(0));
        assert_eq!(refused(&code[..code.len() - 1]), RecoveryError::Length(59));
        assert_eq!(refused(&format!("{code}7")), RecoveryError::Length(61));
        assert_eq!(
            refused(&format!("U{}", &code[1..])),
            RecoveryError::Character {
                character: 'U',
                place: 1
            }
        );
        assert_eq!(refused(&"7".repeat(60)), RecoveryError::Typo);
    }

    proptest! {
        #[test]
        fn a_code_comes_back_as_the_seed_that_it_was_made_of(bytes: [u8; 32]) {
            let code = RecoveryCode::write(&seed(bytes)).to_string();
            let read = RecoveryCode::read(&code).unwrap();
            prop_assert_eq!(read.expose(), &bytes);
        }

        #[test]
        fn one_wrong_character_never_gives_another_authority(bytes: [u8; 32], at in 0usize..71, wrong: char) {
            let code = RecoveryCode::write(&seed(bytes)).to_string();
            let changed: String = code.chars().enumerate().map(|(i, c)| if i == at { wrong } else { c }).collect();
            if let Ok(read) = RecoveryCode::read(&changed) {
                prop_assert_eq!(read.expose(), &bytes);
            }
        }

        #[test]
        fn two_characters_that_changed_places_are_noticed(bytes: [u8; 32], at in 0usize..70) {
            let code = RecoveryCode::write(&seed(bytes)).to_string();
            let mut changed = code.clone().into_bytes();
            changed.swap(at, at + 1);
            if let Ok(read) = RecoveryCode::read(std::str::from_utf8(&changed).unwrap()) {
                prop_assert_eq!(read.expose(), &bytes);
            }
        }
    }
}
