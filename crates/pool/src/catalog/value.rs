//! Parameters of statements: numbers and texts, whatever database has them.

/// A parameter. Whether it is a number or a text is known also where it is null: PostgreSQL asks
/// for that in conditions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value<'a> {
    Number(Option<i64>),
    Text(Option<&'a str>),
    /// Null in a column that is known: as one of what it stands in.
    Null,
}

/// What can be a parameter.
pub(crate) trait Param {
    fn value(&self) -> Value<'_>;
}

/// The parameters of a statement, in the order of their numbers.
pub(crate) trait Params {
    fn values(&self) -> Vec<Value<'_>>;
}

impl Param for i64 {
    fn value(&self) -> Value<'_> {
        Value::Number(Some(*self))
    }
}

impl Param for Option<i64> {
    fn value(&self) -> Value<'_> {
        Value::Number(*self)
    }
}

impl Param for u32 {
    fn value(&self) -> Value<'_> {
        Value::Number(Some(i64::from(*self)))
    }
}

impl Param for bool {
    fn value(&self) -> Value<'_> {
        Value::Number(Some(i64::from(*self)))
    }
}

impl Param for &str {
    fn value(&self) -> Value<'_> {
        Value::Text(Some(self))
    }
}

impl Param for Option<&str> {
    fn value(&self) -> Value<'_> {
        Value::Text(*self)
    }
}

impl Param for String {
    fn value(&self) -> Value<'_> {
        Value::Text(Some(self))
    }
}

impl Param for &String {
    fn value(&self) -> Value<'_> {
        Value::Text(Some(self))
    }
}

impl Param for Option<String> {
    fn value(&self) -> Value<'_> {
        Value::Text(self.as_deref())
    }
}

/// None.
impl Params for [i64; 0] {
    fn values(&self) -> Vec<Value<'_>> {
        Vec::new()
    }
}

impl<T: Param> Params for [T; 1] {
    fn values(&self) -> Vec<Value<'_>> {
        self.iter().map(Param::value).collect()
    }
}

/// Of a row whose columns nobody here knows.
impl Params for &[Value<'_>] {
    fn values(&self) -> Vec<Value<'_>> {
        self.to_vec()
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Param),+> Params for ($($name,)+) {
            fn values(&self) -> Vec<Value<'_>> {
                #[allow(non_snake_case, reason = "the names of the types are at hand")]
                let ($($name,)+) = self;
                vec![$($name.value()),+]
            }
        }
    };
}

tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);
tuples!(A B C D E F G H I J K L M);
tuples!(A B C D E F G H I J K L M N);
tuples!(A B C D E F G H I J K L M N O);
