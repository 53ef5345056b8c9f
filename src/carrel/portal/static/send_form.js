// The answer of the issuer to a program: a form that needs no click (OAuth 2.0 Form Post Response Mode).
document.getElementById("answer").submit();
