from django import forms
from django.shortcuts import redirect, render
from peer.models import Document


class DocumentForm(forms.ModelForm):
    class Meta:
        model = Document
        fields = ["file"]


def upload(request):
    form = DocumentForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("upload")
    return render(request, "upload.html", {"form": form})


def throw_away(request):
    """Receive the same form and store nothing: what gunicorn, Django and the client take by themselves."""
    request.FILES["file"]
    return redirect("upload")
