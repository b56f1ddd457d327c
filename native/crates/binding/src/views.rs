//! Typed arrays of the caller's that an export may write to.
//!
//! napi offers `&[u8]` for reading, and for writing only an unsafe method on its slices. These two wrappers take an array that
//! way once, at the border, so that no other file of this crate needs unsafe code. What makes it sound: an export runs to
//! its end before any other JavaScript of its thread does, no view outlives the call, and the callers (`src/log`,
//! `src/transport`) pass arrays that do not overlap and are not shared with another thread.

use std::ops::{Deref, DerefMut};

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{ValueType, sys};

macro_rules! writable_view {
    ($(#[$doc:meta])* $name:ident, $element:ty, $js_name:literal) => {
        $(#[$doc])*
        pub struct $name<'a>(&'a mut [$element]);

        impl FromNapiValue for $name<'_> {
            unsafe fn from_napi_value(
                env: sys::napi_env,
                value: sys::napi_value,
            ) -> napi::Result<Self> {
                // SAFETY: env and value come from the call in progress; exclusiveness is argued at the top of this file.
                unsafe { <&mut [$element]>::from_napi_value(env, value) }.map(Self)
            }
        }

        impl TypeName for $name<'_> {
            fn type_name() -> &'static str {
                $js_name
            }
            fn value_type() -> ValueType {
                ValueType::Object
            }
        }

        impl ValidateNapiValue for $name<'_> {}

        impl Deref for $name<'_> {
            type Target = [$element];
            fn deref(&self) -> &Self::Target {
                self.0
            }
        }

        impl DerefMut for $name<'_> {
            fn deref_mut(&mut self) -> &mut Self::Target {
                self.0
            }
        }
    };
}

writable_view!(
    /// A `Float64Array` that results are written to.
    NumbersMut,
    f64,
    "Float64Array"
);
writable_view!(
    /// A `Uint8Array` whose bytes are patched or filled.
    BytesMut,
    u8,
    "Uint8Array"
);
