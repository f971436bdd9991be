// Exchanges the admin token for a cookie that scripts cannot read. The token comes from the form, or from the part of
// the address behind "#", which browsers send to nobody.

const form = document.getElementById("form");
const field = document.getElementById("token");
const said = document.getElementById("said");

async function signIn(token) {
  said.textContent = "";
  let response;
  try {
    response = await fetch("/_sandbox/session", { method: "POST", headers: { "X-Sandbox-Admin": token } });
  } catch {
    said.textContent = "The sandbox cannot be reached, or the token has a character that no token has.";
    return;
  }
  if (response.ok) {
    location.replace("/");
  } else {
    said.textContent = "This is not the admin token of this sandbox. It is another one each time the sandbox starts.";
    field.focus();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(field.value.trim());
});

function signInFromAddress() {
  const token = decodeURIComponent(location.hash.slice(1));
  if (token) {
    history.replaceState(null, "", "/");
    signIn(token);
  }
}

window.addEventListener("hashchange", signInFromAddress);
signInFromAddress();
field.focus();
