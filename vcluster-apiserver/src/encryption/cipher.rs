//! The ciphers, in the layouts of upstream's transformers (k8s.io/apiserver
//! `pkg/storage/value/encrypt/{aes/aes.go,secretbox/secretbox.go}`).
//!
//! AES-GCM: a random nonce of 12 bytes, then the ciphertext with its tag, bound to its place. AES-CBC: a random vector of
//! 16 bytes, then padded blocks; it proves nothing about who wrote them. Secretbox: a random nonce of 24 bytes, then
//! XSalsa20-Poly1305. The same random nonce comes twice after about 2^32 writes under one AES-GCM key: rotate before.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use aes::{Aes128, Aes192, Aes256};
use crypto_secretbox::aead::AeadInPlace as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

const GCM_NONCE: usize = 12;
const BLOCK: usize = 16;
const BOX_NONCE: usize = 24;
const BOX_TAG: usize = 16;

/// One key of one kind.
pub enum Cipher {
    Gcm(Box<LessSafeKey>),
    Cbc(Vec<u8>),
    Secretbox(Box<XSalsa20Poly1305>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the system has no randomness")]
    Randomness,
    #[error("the key does not open it")]
    Closed,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gcm(_) => "Cipher::Gcm",
            Self::Cbc(_) => "Cipher::Cbc",
            Self::Secretbox(_) => "Cipher::Secretbox",
        })
    }
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(bytes)
}

impl Cipher {
    /// 16 or 32 bytes; ring has no AES-GCM with 24.
    pub fn gcm(key: &[u8]) -> Option<Self> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        Some(Self::Gcm(Box::new(LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?))))
    }

    /// 16, 24 or 32 bytes.
    pub fn cbc(key: &[u8]) -> Option<Self> {
        matches!(key.len(), 16 | 24 | 32).then(|| Self::Cbc(key.to_vec()))
    }

    /// 32 bytes.
    pub fn secretbox(key: &[u8]) -> Option<Self> {
        XSalsa20Poly1305::new_from_slice(key).ok().map(|cipher| Self::Secretbox(Box::new(cipher)))
    }

    /// `place` is authenticated where the cipher can.
    pub fn seal(&self, plain: &[u8], place: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::Gcm(key) => {
                let nonce = random::<GCM_NONCE>()?;
                let mut sealed = [&nonce, plain].concat();
                let tag = key.seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(place),
                    &mut sealed[GCM_NONCE..],
                );
                sealed.extend_from_slice(tag.map_err(|_| Error::Closed)?.as_ref());
                Ok(sealed)
            }
            Self::Cbc(key) => {
                let vector = random::<BLOCK>()?;
                let blocks = encrypt_blocks(key, &vector, plain).ok_or(Error::Closed)?;
                Ok([&vector[..], &blocks].concat())
            }
            Self::Secretbox(cipher) => {
                let nonce = random::<BOX_NONCE>()?;
                let mut message = plain.to_vec();
                let tag =
                    cipher.encrypt_in_place_detached(&nonce.into(), b"", &mut message).map_err(|_| Error::Closed)?;
                Ok([&nonce[..], &tag, &message].concat())
            }
        }
    }

    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::Gcm(key) => {
                let (nonce, sealed) = sealed.split_first_chunk::<GCM_NONCE>().ok_or(Error::Closed)?;
                let mut sealed = sealed.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let plain = key.open_in_place(nonce, Aad::from(place), &mut sealed).map_err(|_| Error::Closed)?;
                Ok(plain.to_vec())
            }
            Self::Cbc(key) => {
                let (vector, blocks) = sealed.split_first_chunk::<BLOCK>().ok_or(Error::Closed)?;
                decrypt_blocks(key, vector, blocks).ok_or(Error::Closed)
            }
            Self::Secretbox(cipher) => {
                let (nonce, rest) = sealed.split_first_chunk::<BOX_NONCE>().ok_or(Error::Closed)?;
                let (tag, message) = rest.split_first_chunk::<BOX_TAG>().ok_or(Error::Closed)?;
                let mut message = message.to_vec();
                let opened = cipher.decrypt_in_place_detached(&(*nonce).into(), b"", &mut message, &(*tag).into());
                opened.map_err(|_| Error::Closed)?;
                Ok(message)
            }
        }
    }
}

fn encrypt_blocks(key: &[u8], vector: &[u8; BLOCK], plain: &[u8]) -> Option<Vec<u8>> {
    Some(match key.len() {
        16 => cbc::Encryptor::<Aes128>::new_from_slices(key, vector).ok()?.encrypt_padded_vec_mut::<Pkcs7>(plain),
        24 => cbc::Encryptor::<Aes192>::new_from_slices(key, vector).ok()?.encrypt_padded_vec_mut::<Pkcs7>(plain),
        _ => cbc::Encryptor::<Aes256>::new_from_slices(key, vector).ok()?.encrypt_padded_vec_mut::<Pkcs7>(plain),
    })
}

fn decrypt_blocks(key: &[u8], vector: &[u8; BLOCK], blocks: &[u8]) -> Option<Vec<u8>> {
    match key.len() {
        16 => cbc::Decryptor::<Aes128>::new_from_slices(key, vector).ok()?.decrypt_padded_vec_mut::<Pkcs7>(blocks).ok(),
        24 => cbc::Decryptor::<Aes192>::new_from_slices(key, vector).ok()?.decrypt_padded_vec_mut::<Pkcs7>(blocks).ok(),
        _ => cbc::Decryptor::<Aes256>::new_from_slices(key, vector).ok()?.decrypt_padded_vec_mut::<Pkcs7>(blocks).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ciphers() -> Vec<Cipher> {
        let key = [7_u8; 32];
        [
            Cipher::gcm(&key[..16]),
            Cipher::gcm(&key),
            Cipher::cbc(&key[..16]),
            Cipher::cbc(&key[..24]),
            Cipher::cbc(&key),
            Cipher::secretbox(&key),
        ]
        .into_iter()
        .map(Option::unwrap)
        .collect()
    }

    // Known answers: NIST SP 800-38A F.2.5 (CBC-AES256) and the first vector of NaCl's secretbox tests.
    #[test]
    fn known_ciphertexts_are_opened() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
        };
        let key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let vector = hex("000102030405060708090a0b0c0d0e0f");
        let plain = hex("6bc1bee22e409f96e93d7e117393172a");
        let blocks = encrypt_blocks(&key, vector.as_slice().try_into().unwrap(), &plain).unwrap();
        assert_eq!(blocks[..16], hex("f58c4c04d6e5f1ba779eabfb5f7bfbd6"));
        assert_eq!(Cipher::cbc(&key).unwrap().open(&[vector, blocks].concat(), b"").unwrap(), plain);

        let key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let sealed = hex(
            "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
        );
        let opened = Cipher::secretbox(&key).unwrap().open(&[nonce, sealed].concat(), b"").unwrap();
        assert_eq!(opened[..8], hex("be075fc53c81f2d5"));
        assert_eq!(opened.len(), 131);
    }

    #[test]
    fn wrong_keys_and_lengths_are_refused() {
        assert!(
            Cipher::gcm(&[0; 24]).is_none() && Cipher::cbc(&[0; 8]).is_none() && Cipher::secretbox(&[0; 16]).is_none()
        );
        for (cipher, other) in
            [(Cipher::gcm(&[1; 32]), Cipher::gcm(&[2; 32])), (Cipher::secretbox(&[1; 32]), Cipher::secretbox(&[2; 32]))]
        {
            let sealed = cipher.unwrap().seal(b"text", b"here").unwrap();
            assert_eq!(other.unwrap().open(&sealed, b"here"), Err(Error::Closed));
        }
        let gcm = Cipher::gcm(&[1; 32]).unwrap();
        assert_eq!(gcm.open(&gcm.seal(b"text", b"here").unwrap(), b"there"), Err(Error::Closed));
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_again(plain: Vec<u8>, place: Vec<u8>) {
            for cipher in ciphers() {
                let sealed = cipher.seal(&plain, &place).unwrap();
                prop_assert_ne!(&cipher.seal(&plain, &place).unwrap(), &sealed);
                prop_assert_eq!(cipher.open(&sealed, &place).unwrap(), plain.clone());
            }
        }

        #[test]
        fn no_bytes_make_opening_panic(sealed: Vec<u8>) {
            for cipher in ciphers() {
                let _ = cipher.open(&sealed, b"");
            }
        }
    }
}
