// Before anything is painted: the theme that was chosen here last.
try {
  const theme = localStorage.getItem("rtb-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system's theme */ }
