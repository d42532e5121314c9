//! Pages of lists.

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    limit: Option<usize>,
    offset: usize,
}

/// A page that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// Neither -1 nor a number of items.
    #[error("Invalid limit")]
    Limit,
    /// Not a number of items.
    #[error("Invalid offset")]
    Offset,
}

impl Window {
    /// Reads `limit` (-1, the default, is no limit) and `offset` (0 by default).
    pub fn parse(limit: Option<&str>, offset: Option<&str>) -> Result<Self, BadWindow> {
        let number =
            |text: Option<&str>, default: i64| text.map_or(Ok(default), |text| text.trim().parse::<i64>());
        let limit = number(limit, -1).map_err(|_| BadWindow::Limit)?;
        let offset = number(offset, 0).map_err(|_| BadWindow::Offset)?;
        if limit < -1 {
            return Err(BadWindow::Limit);
        }
        Ok(Self {
            limit: usize::try_from(limit).ok(),
            offset: usize::try_from(offset).map_err(|_| BadWindow::Offset)?,
        })
    }

    /// The page of a sorted list.
    pub fn of<T>(&self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        items
            .into_iter()
            .skip(self.offset)
            .take(self.limit.unwrap_or(usize::MAX))
            .collect()
    }

    /// The page counted from the newest of a list that is sorted by time, in the order of time.
    pub fn of_newest<T>(&self, items: impl DoubleEndedIterator<Item = T>) -> Vec<T> {
        let mut page = self.of(items.rev());
        page.reverse();
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_counted_from_the_start_or_from_the_newest() {
        let window = Window::parse(Some("2"), Some("1")).unwrap();
        assert_eq!(window.of([1, 2, 3, 4]), [2, 3]);
        assert_eq!(window.of_newest([1, 2, 3, 4].into_iter()), [2, 3]);
        let all = Window::parse(None, None).unwrap();
        assert_eq!(all.of_newest([1, 2].into_iter()), [1, 2]);
        assert_eq!(Window::parse(Some("0"), None).unwrap().of([1]), [0; 0]);
        assert_eq!(Window::parse(None, Some("9")).unwrap().of([1]), [0; 0]);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for (limit, offset) in [
            (Some("-2"), None),
            (Some("x"), None),
            (Some(""), None),
            (Some("1.0"), None),
            (None, Some("-1")),
            (None, Some("99999999999999999999")),
        ] {
            assert!(Window::parse(limit, offset).is_err(), "{limit:?} {offset:?}");
        }
    }
}
